//! Which files tell about a module. The file of that name may be another build by now, and names from another
//! build are worse than none: they are wrong and look right. So every file is held to the build id of what is
//! mapped, or to the checksum that the program carries of its debug file.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use plimsoll_core::Bytes;
use plimsoll_core::heap::Module;

use crate::file::{Elf, Refused, Work};
use crate::limits::Limits;
use crate::problem::ProblemKind;

/// How many bytes of a file the checksum takes at a time.
const SUM_STEP: usize = 16 << 10;

/// The files of one module.
#[derive(Default)]
pub(crate) struct Files {
    /// What is mapped.
    pub(crate) program: Option<Elf>,
    /// The separate debug file, if the program has no debug information itself.
    pub(crate) debug: Option<Elf>,
    /// Names that the file with the debug information shares with others.
    pub(crate) supplementary: Option<Elf>,
}

impl Files {
    /// The file with debug information, if there is one.
    pub(crate) fn with_debug_info(&self) -> Option<&Elf> {
        self.program.iter().chain(&self.debug).find(|elf| elf.has(".debug_info"))
    }
}

/// Opens what there is of a module, and says what was missing or refused.
pub(crate) fn find(
    module: &Module,
    limits: &Limits,
    work: &Rc<Work>,
    problems: &mut Vec<ProblemKind>,
) -> Files {
    let mut files = Files::default();
    // `[vdso]` and the like are not files, and nobody can install what is missing of them.
    if !module.path.starts_with('/') {
        return files;
    }
    let finder = Finder { module, limits, work };
    let mut refused = None;
    match finder.program() {
        Ok(elf) => files.program = Some(elf),
        Err(kind) => refused = Some(kind),
    }
    if files.with_debug_info().is_none() {
        files.debug = finder.debug(files.program.as_ref(), problems);
    }
    // With a debug file of its build id nobody misses the program.
    problems.extend(refused.filter(|_| files.debug.is_none()));
    if let Some((name, id)) = files.with_debug_info().and_then(Elf::supplementary_link) {
        files.supplementary = finder.supplementary(&files, &name, &id);
        if files.supplementary.is_none() {
            problems.push(ProblemKind::SupplementaryMissing { file: name });
        }
    }
    files
}

struct Finder<'a> {
    module: &'a Module,
    limits: &'a Limits,
    work: &'a Rc<Work>,
}

impl Finder<'_> {
    fn open(&self, path: &Path) -> Result<Elf, Refused> {
        Elf::open(path, self.limits.debug_file_max.as_u64(), self.work)
    }

    fn problem(&self, path: &Path, refused: Refused) -> ProblemKind {
        let file = path.display().to_string();
        match refused {
            Refused::Missing => ProblemKind::Missing,
            Refused::Unreadable(error) => ProblemKind::Unreadable { file, error },
            Refused::TooLarge(size) => {
                let limit = self.limits.debug_file_max;
                ProblemKind::TooLarge { file, size: Bytes::new(size), limit }
            }
            Refused::Malformed(detail) => ProblemKind::Malformed { file, detail, places: 1 },
        }
    }

    /// The file that is mapped: under its name, or, when that is gone or another, where the kernel still
    /// has it. The latter is this process's, so only the build id tells whether it is the snapshot's.
    fn program(&self) -> Result<Elf, ProblemKind> {
        let path = PathBuf::from(&self.module.path);
        let first = match self.open(&path) {
            Err(Refused::Missing) => match self.module.path.strip_suffix(" (deleted)") {
                Some(path) => self.accepted(Path::new(path)),
                None => Err(ProblemKind::Missing),
            },
            Err(refused) => Err(self.problem(&path, refused)),
            Ok(elf) => self.accept(elf),
        };
        if first.is_ok() || self.module.build_id.is_empty() {
            return first;
        }
        let range = &self.module.addresses;
        let mapped = format!("/proc/self/map_files/{:x}-{:x}", range.start, range.end);
        ["/proc/self/exe", &mapped]
            .iter()
            .find_map(|path| self.accepted(Path::new(path)).ok())
            .map_or(first, Ok)
    }

    fn accepted(&self, path: &Path) -> Result<Elf, ProblemKind> {
        self.open(path).map_err(|refused| self.problem(path, refused)).and_then(|elf| self.accept(elf))
    }

    fn accept(&self, elf: Elf) -> Result<Elf, ProblemKind> {
        if elf.build_id.eq_ignore_ascii_case(&self.module.build_id) {
            Ok(elf)
        } else {
            Err(ProblemKind::Changed { found: elf.build_id })
        }
    }

    /// The separate debug file: by build id, then by name. One without lines is kept only for its symbols.
    fn debug(&self, program: Option<&Elf>, problems: &mut Vec<ProblemKind>) -> Option<Elf> {
        let id = match &self.module.build_id {
            id if !id.is_empty() => id.to_ascii_lowercase(),
            _ => program.map(|elf| elf.build_id.clone()).unwrap_or_default(),
        };
        let by_id = self.by_build_id(&id).map(|path| (path, None));
        let by_name = program.and_then(Elf::debug_link).map(|(name, sum)| {
            self.by_name(&name).into_iter().map(move |path| (path, Some(sum))).collect::<Vec<_>>()
        });
        let mut symbols_only = None;
        for (path, sum) in by_id.chain(by_name.into_iter().flatten()) {
            if program.is_some_and(|program| program.path == path) {
                continue;
            }
            let elf = match self.open(&path) {
                Ok(elf) => elf,
                Err(Refused::Missing) => continue,
                Err(refused) => {
                    problems.push(self.problem(&path, refused));
                    continue;
                }
            };
            let fits = match sum {
                _ if !id.is_empty() && !elf.build_id.is_empty() => elf.build_id == id,
                // Reads all of the file, so only where there is no build id to go by.
                Some(sum) => checksum(&elf) == Some(sum),
                None => false,
            };
            if !fits {
                problems.push(ProblemKind::DebugFileDiffers { file: path.display().to_string() });
            } else if elf.has(".debug_info") {
                return Some(elf);
            } else if elf.has(".symtab") {
                symbols_only.get_or_insert(elf);
            }
        }
        symbols_only
    }

    fn by_build_id(&self, id: &str) -> impl Iterator<Item = PathBuf> {
        // An id is part of a path here, and comes from a file of others.
        let parts = (id.len() > 2 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| id.split_at(2));
        parts.into_iter().flat_map(|(first, rest)| {
            let name = format!("{rest}.debug");
            self.limits.debug_roots.iter().map(move |root| root.join(".build-id").join(first).join(&name))
        })
    }

    fn by_name(&self, name: &str) -> Vec<PathBuf> {
        let path = self.module.path.strip_suffix(" (deleted)").unwrap_or(&self.module.path);
        let (Some(directory), Some(name)) = (Path::new(path).parent(), Path::new(name).file_name()) else {
            return Vec::new();
        };
        let below = directory.strip_prefix("/").unwrap_or(directory);
        let beside = [directory.join(name), directory.join(".debug").join(name)];
        beside
            .into_iter()
            .chain(self.limits.debug_roots.iter().map(|root| root.join(below).join(name)))
            .collect()
    }

    fn supplementary(&self, files: &Files, name: &str, id: &str) -> Option<Elf> {
        let directory = files.with_debug_info().and_then(|elf| elf.path.parent()).unwrap_or(Path::new("/"));
        let base = Path::new(name).file_name().unwrap_or(OsStr::new(name));
        std::iter::once(directory.join(name))
            .chain(self.by_build_id(id))
            .chain(self.limits.debug_roots.iter().map(|root| root.join(".dwz").join(base)))
            .filter_map(|path| self.open(&path).ok())
            .find(|elf| !id.is_empty() && elf.build_id == id)
    }
}

/// The checksum of `.gnu_debuglink` over a whole file; nothing if it cannot be read.
fn checksum(elf: &Elf) -> Option<u32> {
    let mut sum = flate2::Crc::new();
    let mut whole = elf.whole();
    let mut step = vec![0; SUM_STEP];
    loop {
        match std::io::Read::read(&mut whole, &mut step).ok()? {
            0 => return Some(sum.sum()),
            taken => sum.update(&step[..taken]),
        }
    }
}
