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

use super::image::Image;
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
    can_go: CanGo,
    table: Option<Table>,
    module: heap::Module,
}

/// Which modules are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Those that stay as long as the process.
    Lasting,
    /// Those that may go as well.
    All,
}

impl Modules {
    /// The list, for whoever names addresses. Two of a file with two executable segments.
    pub(crate) fn to_core(&self) -> Vec<heap::Module> {
        self.segments.iter().map(|segment| segment.module.clone()).collect()
    }

    /// Each of them.
    pub(super) fn each(&self) -> impl Iterator<Item = &heap::Module> {
        self.segments.iter().map(|segment| &segment.module)
    }

    /// The rule for an address; `None` if it is in no module, in one that is not asked about, or in one that is not
    /// there any more.
    pub(super) fn rule(&self, address: u64, which: Which) -> Option<Rule> {
        let segment = self.segment(address)?;
        if which == Which::Lasting && segment.can_go == CanGo::Yes {
            return None;
        }
        segment.table.map_or(Some(Rule::UNLISTED), |table| table.rule(address))
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
            let image = object.image();
            let build_id = image.build_id().map(hexadecimal).unwrap_or_default();
            let can_go = object.can_go(from_start);
            let table = image.table(can_go);
            for segment in image.code() {
                modules.segments.push(Segment {
                    addresses: segment.addresses.clone(),
                    can_go,
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

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
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

        /// Its parts.
        pub(super) fn image(&self) -> Image<'_> {
            let headers = if self.info.dlpi_phdr.is_null() {
                &[][..]
            } else {
                // SAFETY: the loader keeps the object's program headers, as many as it says.
                unsafe { std::slice::from_raw_parts(self.info.dlpi_phdr, usize::from(self.info.dlpi_phnum)) }
            };
            // SAFETY: they are the object's own, and the loader holds its lock as long as this lives.
            unsafe { Image::new(self.bias(), headers) }
        }

        /// Whether it may be unloaded: not what was there before the program ran, and not this code.
        pub(super) fn can_go(&self, from_start: usize) -> CanGo {
            let own: fn() -> Modules = Modules::read;
            let stays = self.nth < from_start || self.image().contains(own as usize as u64);
            if stays { CanGo::No } else { CanGo::Yes }
        }
    }
}
