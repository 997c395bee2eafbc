//! Modules that came after the list was made, found from inside an allocation.
//!
//! glibc 2.35 and later answer which module an address is in without a lock, for their own unwinder:
//! `_dl_find_object`. So a library that `dlopen` brought a microsecond ago is followed at once, and nobody has to be
//! told of it. What it says is where the module begins, where its unwind table is, and its entry in the loader's list;
//! the rest is read from the program headers at the module's beginning. Before they are touched the kernel is asked
//! whether they can be: the address may be a wrong guess, and its module on its way out.
//!
//! # What may go wrong, at worst
//! * Another thread unloads the module in the microsecond between the question and the reading. The address is one that
//!   this thread is to return to, or a guess at one, so only a program that unloads code which is still running, or a
//!   wrong guess at the same moment, can meet it. It would then most likely have crashed by itself.
//! * A module takes the place of another that was unloaded, and the rules of the old one are still remembered. A stack
//!   may then be wrong or end early; nothing outside the stack is read, whatever a rule says. [`forget_rules`] is for
//!   whoever sees a `dlclose`. What libc unloads by itself (character sets, name services) is noticed here: the first
//!   look-up in a module that was not met before forgets all rules. Only a newcomer in which every return address that
//!   is met was one of its predecessor's goes unnoticed.
//!
//! [`forget_rules`]: super::forget_rules

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicU64};

use super::image::Image;
use super::readable::is_readable;
use super::records::{Added, ModuleRecords, Record};
use super::rules::{self, Rule};
use super::table::CanGo;
use crate::thread::mix;

/// What is at an address.
pub(super) enum Found {
    /// Code of a module, and the rule for it.
    Code(Rule),
    /// A module's, but not code.
    Data,
    /// No module.
    Nothing,
}

/// What glibc answers with (`struct dl_find_object`), as it is on x86-64.
#[repr(C)]
struct Answer {
    flags: u64,
    map_start: usize,
    map_end: usize,
    entry: *const Entry,
    /// Of `.eh_frame_hdr`, in spite of its name in C.
    eh_frame: usize,
    reserved: [u64; 7],
}

/// The public beginning of the loader's entry for a module (`struct link_map`).
#[repr(C)]
struct Entry {
    bias: usize,
    name: *const u8,
}

type FindObject = unsafe extern "C" fn(*const u8, *mut Answer) -> libc::c_int;

/// glibc's function, or null.
static FIND_OBJECT: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

/// Asks for glibc's function. May allocate and wait for the loader: never from inside an allocation.
#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu", not(miri)))]
pub(super) fn look_for_glibc() {
    // SAFETY: a name that ends with a zero, in any of the modules.
    let function = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_dl_find_object".as_ptr()) };
    FIND_OBJECT.store(function.cast(), Release);
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu", not(miri))))]
pub(super) fn look_for_glibc() {}

/// Whether glibc can be asked at all.
pub(super) fn can_ask() -> bool {
    !FIND_OBJECT.load(Relaxed).is_null()
}

/// Looks an address up. *Allocation behaviour*: none. *Signals, fork*: safe at every instruction.
pub(super) fn at(address: u64) -> Found {
    let Some(answer) = ask(address) else { return Found::Nothing };
    let Some(object) = Object::read(&answer) else { return Found::Data };
    if !object.image.code().any(|code| code.addresses.contains(&address)) {
        return Found::Data;
    }
    if present(&object) == Presence::New {
        object.record();
    }
    // Its first page was there just now, and a module goes in one piece: no need to ask once more.
    let table = object.image.table(CanGo::No);
    Found::Code(table.and_then(|table| table.rule(address)).unwrap_or(Rule::UNLISTED))
}

fn ask(address: u64) -> Option<Answer> {
    let function = FIND_OBJECT.load(Acquire);
    if function.is_null() {
        return None;
    }
    // SAFETY: it is the function of that name, which glibc documents with this type.
    let function = unsafe { std::mem::transmute::<*mut (), FindObject>(function) };
    let mut answer = std::mem::MaybeUninit::<Answer>::zeroed();
    let address = std::ptr::with_exposed_provenance(usize::try_from(address).ok()?);
    // SAFETY: it takes any address, and writes what it is given room for; a signal handler may call it. All zeros are
    // an answer.
    let (failed, answer) = unsafe { (function(address, answer.as_mut_ptr()), answer.assume_init()) };
    (failed == 0).then_some(answer)
}

/// A module that glibc answered with.
struct Object<'a> {
    image: Image<'a>,
    start: u64,
    end: u64,
    name: *const u8,
    /// By this it is told from another at the same place.
    identity: u64,
}

impl Object<'_> {
    fn read(answer: &Answer) -> Option<Self> {
        let start = answer.map_start;
        if !is_readable(start) || answer.entry.is_null() || !is_readable(answer.entry.addr()) {
            return None;
        }
        // SAFETY: the loader's own entry, just seen to be there; it stays as long as the module.
        let (bias, name) = unsafe { ((*answer.entry).bias as u64, (*answer.entry).name) };
        // SAFETY: the page can be read, and a module's memory is the loader's to write.
        let page =
            unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(start), PAGE_BYTES) };
        let (headers, file_bytes) = headers(page)?;
        // SAFETY: the headers are the module's, which is mapped.
        let image = unsafe { Image::new(bias, headers) };
        // They describe what is mapped here, or something that is not understood.
        if image.first_byte()? != start as u64 || image.table_address().unwrap_or(0) != answer.eh_frame as u64
        {
            return None;
        }
        let (start, end) = (start as u64, answer.map_end as u64);
        let table = image.table_address().and_then(|address| image.loaded(address)?.first_chunk::<12>());
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *table.unwrap_or(&[0; 12]);
        let low = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let high = u64::from(u32::from_le_bytes([i, j, k, l]));
        let identity = [end, low, high, file_bytes].iter().fold(start, |hash, &word| mix(hash ^ word));
        Some(Self { image, start, end, name, identity: identity | 1 })
    }

    /// Notes it where somebody outside the process may read it.
    fn record(&self) {
        // SAFETY: null, or records that stay for ever.
        let Some(records) = (unsafe { RECORDS.load(Acquire).as_ref() }) else { return };
        let path = self.path();
        let build_id = self.image.build_id().unwrap_or_default();
        for code in self.image.code() {
            // That there is no room is counted.
            let _: Added = records.add(&Record {
                addresses: code.addresses,
                file_offset: code.file_offset,
                bias: self.image.bias(),
                build_id,
                path,
            });
        }
    }

    /// What the loader calls it: mostly an absolute path, for that is what it found.
    fn path(&self) -> &[u8] {
        let mut length = 0;
        loop {
            let at = self.name.wrapping_add(length);
            let is_new_page = length == 0 || at.addr().is_multiple_of(PAGE_BYTES);
            if length == PATH_MAX_BYTES || is_new_page && (at.is_null() || !is_readable(at.addr())) {
                break;
            }
            // SAFETY: its page can be read, and the loader's names end with a zero.
            if unsafe { at.read() } == 0 {
                break;
            }
            length += 1;
        }
        if length == 0 {
            return &[];
        }
        // SAFETY: these bytes were read just now; the loader keeps the name as long as the module.
        unsafe { std::slice::from_raw_parts(self.name, length) }
    }
}

/// As the kernel limits them.
const PATH_MAX_BYTES: usize = libc::PATH_MAX as usize;
const PAGE_BYTES: usize = crate::os::PAGE_BYTES;

/// The program headers in the first page of a file, and where its section headers would be: as good as its size.
fn headers(page: &[u8]) -> Option<(&[libc::Elf64_Phdr], u64)> {
    const HEADER_BYTES: usize = size_of::<libc::Elf64_Phdr>();
    // 64 bits, little-endian.
    if page.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let word = |at: usize| Some(u64::from_le_bytes(*page.get(at..)?.first_chunk()?));
    let half = |at: usize| Some(usize::from(u16::from_le_bytes(*page.get(at..)?.first_chunk()?)));
    if half(54)? != HEADER_BYTES {
        return None;
    }
    let bytes = page.get(usize::try_from(word(32)?).ok()?..)?.get(..half(56)? * HEADER_BYTES)?;
    // SAFETY: a program header is whole numbers without padding, so any bytes are one.
    let (before, headers, _) = unsafe { bytes.align_to() };
    before.is_empty().then_some((headers, word(40)?))
}

/// Where modules are recorded, for whoever names addresses from outside.
static RECORDS: AtomicPtr<ModuleRecords> = AtomicPtr::new(std::ptr::null_mut());

/// Has everything recorded there that is found from now on.
pub(super) fn record_in(records: &'static ModuleRecords) {
    RECORDS.store((&raw const *records).cast_mut(), Release);
    // What was found before is found anew.
    PRESENT.iter().for_each(|place| place.identity.store(0, Relaxed));
}

/// The records, if there are any.
pub(super) fn records() -> Option<&'static ModuleRecords> {
    // SAFETY: null, or records that stay for ever.
    unsafe { RECORDS.load(Acquire).as_ref() }
}

/// How many modules that may go are told apart. With more, that one took another's place may go unnoticed.
const PRESENT_MAX: usize = 1024;
/// How many places a module may have.
const PROBES: usize = 8;

/// A module that was found. Three words that are not written at once: half of one says that something is new which is
/// not, or the other way, and the next look-up sets it right.
struct Place {
    identity: AtomicU64,
    start: AtomicU64,
    end: AtomicU64,
}

static PRESENT: [Place; PRESENT_MAX] =
    [const { Place { identity: AtomicU64::new(0), start: AtomicU64::new(0), end: AtomicU64::new(0) } };
        PRESENT_MAX];

#[derive(PartialEq, Eq)]
enum Presence {
    Known,
    New,
}

/// Whether the module was found before. If not, all rules are forgotten: those for its place are of whatever was there.
fn present(object: &Object<'_>) -> Presence {
    let first = mix(object.start) as usize;
    let places = (0..PROBES).map(|nth| &PRESENT[(first + nth) % PRESENT_MAX]);
    if places.clone().any(|place| place.identity.load(Relaxed) == object.identity) {
        return Presence::Known;
    }
    let mut took_over = false;
    for place in &PRESENT {
        let (start, end) = (place.start.load(Relaxed), place.end.load(Relaxed));
        if place.identity.load(Relaxed) != 0 && start < object.end && object.start < end {
            place.identity.store(0, Relaxed);
            took_over = true;
        }
    }
    let free = places.clone().find(|place| place.identity.load(Relaxed) == 0);
    if let Some(place) = free.or_else(|| places.clone().next()) {
        place.start.store(object.start, Relaxed);
        place.end.store(object.end, Relaxed);
        place.identity.store(object.identity, Relaxed);
    }
    // Without a free place two modules may go on taking each other's; the rules must not go with them each time.
    if took_over || free.is_some() {
        rules::empty();
    }
    Presence::New
}
