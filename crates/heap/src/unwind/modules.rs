//! What is loaded into the process: for reading stacks now, and for naming their addresses later.
//!
//! The dynamic loader tells it under its own lock, and whoever asks from inside `malloc` may wait for a
//! thread that holds that lock and waits for `malloc`. So it is asked here, away from every allocation that
//! is being sampled, and what it said is kept as a value.

use std::ffi::{CStr, OsStr};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use plimsoll_core::heap;

use super::rules::Rule;
use super::table::{CanGo, Table};

/// All loaded modules, as of one moment: each executable segment by its addresses, in their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Modules {
    segments: Vec<Segment>,
    changes: Changes,
}

/// How often the dynamic loader had loaded and unloaded something: as long as both stay, so does the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    loaded: u64,
    unloaded: u64,
}

/// An executable segment, and the file it came from.
#[derive(Debug, PartialEq, Eq)]
struct Segment {
    addresses: Range<u64>,
    table: Option<Table>,
    module: heap::Module,
}

impl Modules {
    /// The list, for whoever names addresses. Two of a file with two executable segments.
    pub(crate) fn to_core(&self) -> Vec<heap::Module> {
        self.segments.iter().map(|segment| segment.module.clone()).collect()
    }

    /// Whether the address is in a module's code.
    pub(super) fn has_code_at(&self, address: u64) -> bool {
        self.segment(address).is_some()
    }

    /// The rule for an address; `None` if it is in no module.
    pub(super) fn rule(&self, address: u64) -> Option<Rule> {
        let segment = self.segment(address)?;
        Some(segment.table.map_or(Rule::UNLISTED, |table| table.rule(address)))
    }

    pub(super) fn changes(&self) -> Changes {
        self.changes
    }

    fn segment(&self, address: u64) -> Option<&Segment> {
        let after = self.segments.partition_point(|segment| segment.addresses.start <= address);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        (address < segment.addresses.end).then_some(segment)
    }

    #[cfg(all(test, not(miri)))]
    pub(super) fn tables(&self) -> impl Iterator<Item = (&heap::Module, Table)> {
        self.segments.iter().filter_map(|segment| Some((&segment.module, segment.table?)))
    }

    /// Asks the dynamic loader. Allocates, and waits for its lock: never from inside an allocation.
    #[cfg(not(miri))]
    pub(crate) fn read() -> Self {
        let mut modules = Self::default();
        let from_start = loader::objects_from_start();
        loader::each(|object| {
            modules.changes = object.changes();
            let is_program = object.is_first();
            let path = if is_program { PathBuf::new() } else { object.path() };
            let build_id = object.build_id().map(hexadecimal).unwrap_or_default();
            let table = object.table(object.can_go(from_start));
            for segment in object.code() {
                modules.segments.push(Segment {
                    addresses: segment.addresses.clone(),
                    table,
                    module: heap::Module {
                        path: path.to_string_lossy().into_owned(),
                        build_id: build_id.clone(),
                        addresses: segment.addresses,
                        file_offset: segment.file_offset,
                        bias: object.bias(),
                    },
                });
            }
            loader::Next::Continue
        });
        // Files are asked about after the loader's lock is back.
        for Segment { module, .. } in &mut modules.segments {
            module.path = absolute(std::mem::take(&mut module.path));
        }
        modules.segments.sort_by_key(|segment| segment.addresses.start);
        modules
    }

    /// Miri has no loader.
    #[cfg(miri)]
    pub(crate) fn read() -> Self {
        Self::default()
    }
}

impl Changes {
    /// As of now; cheap.
    #[cfg(not(miri))]
    pub(super) fn now() -> Self {
        let mut changes = Self::default();
        loader::each(|object| {
            changes = object.changes();
            loader::Next::Stop
        });
        changes
    }

    #[cfg(miri)]
    pub(super) fn now() -> Self {
        Self::default()
    }
}

/// The program has no name with the loader. Its file may have been replaced since: the build id tells.
fn absolute(path: String) -> String {
    if path.is_empty() {
        let program = std::fs::read_link("/proc/self/exe").unwrap_or_default();
        let program = program.to_string_lossy();
        return program.strip_suffix(" (deleted)").unwrap_or(&program).to_owned();
    }
    if path.starts_with('/') || !path.contains('/') {
        // The kernel's own library has a name without a place.
        return path;
    }
    let found = std::fs::canonicalize(Path::new(&path));
    found.map_or(path, |found| found.to_string_lossy().into_owned())
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('?');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The one place that talks to the dynamic loader.
#[cfg(not(miri))]
mod loader {
    use super::*;

    /// Whether to go on to the next object.
    pub(super) enum Next {
        Continue,
        Stop,
    }

    /// An executable segment of an object.
    pub(super) struct Code {
        pub(super) addresses: Range<u64>,
        pub(super) file_offset: u64,
    }

    /// One loaded object, while the loader's lock is held: it cannot be unloaded as long as this lives.
    pub(super) struct Object<'a> {
        info: &'a libc::dl_phdr_info,
        nth: usize,
    }

    /// Calls `f` for each loaded object, the program first.
    pub(super) fn each<F: FnMut(Object<'_>) -> Next>(f: F) {
        struct State<F> {
            f: F,
            nth: usize,
        }
        unsafe extern "C" fn one<F: FnMut(Object<'_>) -> Next>(
            info: *mut libc::dl_phdr_info,
            _: libc::size_t,
            state: *mut libc::c_void,
        ) -> libc::c_int {
            // SAFETY: the loader hands on the pointer that was given below, and nobody else has it; `info` is
            // valid during the call.
            let (state, info) = unsafe { (&mut *state.cast::<State<F>>(), &*info) };
            let nth = state.nth;
            state.nth += 1;
            match (state.f)(Object { info, nth }) {
                Next::Continue => 0,
                Next::Stop => 1,
            }
        }
        let mut state = State { f, nth: 0 };
        // SAFETY: the callback has the type that its pointer is cast back to.
        unsafe { libc::dl_iterate_phdr(Some(one::<F>), (&raw mut state).cast()) };
    }

    /// How many objects were there when the program began; those are never unloaded. They are the first, and
    /// the loader itself is the last of them. At least the program is one.
    pub(super) fn objects_from_start() -> usize {
        // SAFETY: the call only reads what the kernel told at the start.
        let loader = unsafe { libc::getauxval(libc::AT_BASE) };
        let mut count = 1;
        each(|object| {
            if loader == 0 || object.bias() != loader {
                return Next::Continue;
            }
            count = object.nth + 1;
            Next::Stop
        });
        count
    }

    impl Object<'_> {
        pub(super) fn is_first(&self) -> bool {
            self.nth == 0
        }

        pub(super) fn bias(&self) -> u64 {
            self.info.dlpi_addr
        }

        pub(super) fn changes(&self) -> Changes {
            Changes { loaded: self.info.dlpi_adds, unloaded: self.info.dlpi_subs }
        }

        pub(super) fn path(&self) -> PathBuf {
            if self.info.dlpi_name.is_null() {
                return PathBuf::new();
            }
            // SAFETY: the loader's names end with a zero, and it holds its lock.
            let name = unsafe { CStr::from_ptr(self.info.dlpi_name) };
            PathBuf::from(OsStr::from_bytes(name.to_bytes()))
        }

        fn headers(&self) -> &[libc::Elf64_Phdr] {
            if self.info.dlpi_phdr.is_null() {
                return &[];
            }
            // SAFETY: the loader keeps the object's program headers, as many as it says.
            unsafe { std::slice::from_raw_parts(self.info.dlpi_phdr, usize::from(self.info.dlpi_phnum)) }
        }

        fn headers_of(&self, kind: u32) -> impl Iterator<Item = &libc::Elf64_Phdr> {
            self.headers().iter().filter(move |header| header.p_type == kind)
        }

        fn addresses(&self, header: &libc::Elf64_Phdr) -> Range<u64> {
            let start = self.bias().wrapping_add(header.p_vaddr);
            start..start.saturating_add(header.p_memsz)
        }

        pub(super) fn code(&self) -> impl Iterator<Item = Code> {
            let executable = |header: &&libc::Elf64_Phdr| header.p_flags & libc::PF_X != 0;
            self.headers_of(libc::PT_LOAD)
                .filter(executable)
                .map(|header| Code { addresses: self.addresses(header), file_offset: header.p_offset })
        }

        /// What was loaded from the file from `address` on, to the end of its segment. Parts that are written
        /// to are left out: nothing that is read here lies in one.
        fn loaded(&self, address: u64) -> Option<&[u8]> {
            let constant = |header: &&libc::Elf64_Phdr| {
                header.p_flags & libc::PF_R != 0
                    && header.p_flags & libc::PF_W == 0
                    && self.addresses(header).contains(&address)
            };
            let header = self.headers_of(libc::PT_LOAD).find(constant)?;
            let start = self.bias().wrapping_add(header.p_vaddr);
            let length = header.p_filesz.checked_sub(address - start)?;
            let start = std::ptr::with_exposed_provenance(usize::try_from(address).ok()?);
            // SAFETY: the loader mapped this part of a segment readable and not writable, and holds its lock.
            Some(unsafe { std::slice::from_raw_parts(start, usize::try_from(length).ok()?) })
        }

        /// Where `.eh_frame_hdr` leads.
        pub(super) fn table(&self, can_go: CanGo) -> Option<Table> {
            let header = self.headers_of(libc::PT_GNU_EH_FRAME).next()?;
            Table::read(self.addresses(header).start, can_go, |address| self.loaded(address))
        }

        /// Whether it may be unloaded: not what was there before the program ran, and not this code.
        pub(super) fn can_go(&self, from_start: usize) -> CanGo {
            let own: fn() -> Modules = Modules::read;
            let has_own = |header: &libc::Elf64_Phdr| self.addresses(header).contains(&(own as usize as u64));
            let stays = self.nth < from_start || self.headers_of(libc::PT_LOAD).any(has_own);
            if stays { CanGo::No } else { CanGo::Yes }
        }

        pub(super) fn build_id(&self) -> Option<&[u8]> {
            self.headers_of(libc::PT_NOTE).find_map(|header| {
                let notes = self.loaded(self.addresses(header).start)?;
                let length = usize::try_from(header.p_memsz).ok()?.min(notes.len());
                build_id(&notes[..length], if header.p_align == 8 { 8 } else { 4 })
            })
        }
    }
}

/// The linker's build id among the notes of a segment.
fn build_id(notes: &[u8], align: usize) -> Option<&[u8]> {
    const BUILD_ID: u32 = 3;
    let mut rest = notes;
    loop {
        let (head, _) = rest.split_first_chunk::<12>()?;
        let field = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (name_bytes, id_bytes) = (field(0) as usize, field(4) as usize);
        let id_at = (12 + name_bytes).next_multiple_of(align);
        let name = rest.get(12..12 + name_bytes)?;
        let id = rest.get(id_at..id_at + id_bytes)?;
        if field(8) == BUILD_ID && name == b"GNU\0" {
            return Some(id);
        }
        rest = rest.get((id_at + id_bytes).next_multiple_of(align)..)?;
    }
}
