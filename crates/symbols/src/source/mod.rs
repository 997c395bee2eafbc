//! Names from source files. Of what was inlined, Rust's bare line tables keep the last part of the name; of a closure
//! or an async body nothing but `{closure#0}`, and a report that blames this helps nobody. But they have the file and
//! the line, and where a program is watched its source is often at hand: the function that stands on that line is the
//! one that was meant.
//!
//! The danger is a source that was edited since: its lines are others, and a wrong name looks as good as a right one.
//! So a file is used only if it is not younger than the program; a last name only gets a path from the function of that
//! very name, and an async function's body only from an async function. Libraries are left alone, as their sources tell
//! a reader nothing that their files' names do not.

mod outline;
mod tokens;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::sync::Arc;
use std::time::SystemTime;

use plimsoll_core::{Counter, Reading, Unit};

use crate::demangle::{cut, last_part};
use crate::dwarf::Draft;
use crate::file::Work;
use crate::limits::{FUNCTION_NAME_MAX, SOURCE_FILE_MAX, SOURCES_BYTES_MAX, SOURCES_MAX};
use crate::text::Text;
use outline::{Outline, Wanted};

/// What asking for a file costs beside reading it: three calls to the system, each worth that many bytes of reading.
const FILE_WORK: u64 = 3 * 256;
/// What a known file takes beside its path and its outline.
const FILE_BYTES: u64 = 160;

/// In the path of a source file that is not the program's own: the language's library, and what a package manager
/// fetched.
const LIBRARIES: [&str; 6] =
    ["/rustc/", "/lib/rustlib/src/", "/rust/deps/", "/registry/src/", "/git/checkouts/", "/vendor/"];
/// Crates of the language. A function `test::run` of some module `test` would be taken for theirs.
const STANDARD_CRATES: [&str; 8] =
    ["alloc", "core", "hashbrown", "panic_unwind", "proc_macro", "std", "std_detect", "test"];

/// The outlines of source files that were needed lately.
#[derive(Default)]
pub(crate) struct Outlines {
    /// By path. One leaves when there are too many, or when they have too many bytes; the least lately used first.
    files: HashMap<Arc<str>, Known>,
    bytes: u64,
    bytes_peak: u64,
    /// Counts uses.
    now: u64,
    read: u64,
    evicted: u64,
    named: u64,
}

/// A frame whose name is not whole, in the order in which they are looked at.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Open {
    file: Arc<str>,
    line: u32,
    function: Arc<str>,
    /// Where it is: of which address, and which of its frames.
    place: usize,
    index: usize,
}

struct Known {
    version: Version,
    outline: Outline,
    used: u64,
}

impl Known {
    fn bytes(&self, path: &str) -> u64 {
        FILE_BYTES + path.len() as u64 + self.outline.bytes()
    }
}

impl Outlines {
    /// How many bytes are kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Forgets all files.
    pub(crate) fn clear(&mut self) {
        self.evicted += self.files.len() as u64;
        self.files.clear();
        self.bytes = 0;
    }

    /// Gives the frames of a program, of which `built` is the time of its file, the paths that its sources have for
    /// them. Each file is asked for once. Stops when the work is done.
    pub(crate) fn name(
        &mut self,
        places: &mut [Vec<Draft>],
        built: SystemTime,
        work: &Work,
        text: &mut Text<'_>,
    ) {
        let mut open = Vec::new();
        for (place, drafts) in places.iter().enumerate() {
            for (index, draft) in drafts.iter().enumerate() {
                if let Draft { function: Some(function), file: Some(file), line: Some(line), .. } = draft
                    && is_source(file)
                    && Half::of(function).is_some()
                {
                    let (file, function) = (Arc::clone(file), Arc::clone(function));
                    open.push(Open { file, line: *line, function, place, index });
                }
            }
        }
        open.sort_unstable();
        for of_file in open.chunk_by(|one, next| one.file == next.file) {
            let Ok(outline) = self.outline(&of_file[0].file, built, work) else { return };
            let Some(outline) = outline else { continue };
            let mut named = 0;
            for same in of_file.chunk_by(|one, next| (one.line, &one.function) == (next.line, &next.function))
            {
                let half = Half::of(&same[0].function);
                let whole = half.and_then(|half| half.whole(outline, same[0].line));
                let Some(whole) = whole.and_then(|whole| text.readable(&whole)) else { continue };
                named += same.len() as u64;
                for open in same {
                    places[open.place][open.index].function = Some(Arc::clone(&whole));
                }
            }
            self.named += named;
        }
    }

    /// The outline of a file; `None` if there is none that can be relied on.
    ///
    /// # Errors
    /// When the work is done.
    fn outline(
        &mut self,
        path: &Arc<str>,
        built: SystemTime,
        work: &Work,
    ) -> Result<Option<&Outline>, gimli::Error> {
        work.spend(FILE_WORK)?;
        let Some(version) = Version::of(path) else { return Ok(None) };
        if version.modified > built || version.length > SOURCE_FILE_MAX {
            return Ok(None);
        }
        self.now += 1;
        if self.files.get(path).is_none_or(|known| known.version != version) {
            work.spend(version.length)?;
            self.read += 1;
            // A file that makes no sense is remembered too, without functions.
            let outline = read(path, version.length).and_then(|text| Outline::of(&text)).unwrap_or_default();
            // One that was written meanwhile is neither the one nor the other.
            if Version::of(path) != Some(version) {
                return Ok(None);
            }
            self.keep(path, Known { version, outline, used: self.now });
        }
        let known = self.files.get_mut(path);
        Ok(known.map(|known| {
            known.used = self.now;
            &known.outline
        }))
    }

    /// Keeps a file, and lets others go so that the limits hold.
    fn keep(&mut self, path: &Arc<str>, known: Known) {
        if let Some(old) = self.files.remove(path) {
            self.bytes -= old.bytes(path);
        }
        let bytes = known.bytes(path);
        while self.files.len() >= SOURCES_MAX || self.bytes + bytes > SOURCES_BYTES_MAX {
            let oldest =
                self.files.iter().min_by_key(|(_, known)| known.used).map(|(path, _)| Arc::clone(path));
            let Some(oldest) = oldest else { break };
            if let Some(known) = self.files.remove(&oldest) {
                self.bytes -= known.bytes(&oldest);
                self.evicted += 1;
            }
        }
        self.bytes += bytes;
        self.bytes_peak = self.bytes_peak.max(self.bytes);
        self.files.insert(Arc::clone(path), known);
    }

    /// What they take, how many files were read, and how many frames got a path.
    pub(crate) fn reading(&self) -> Reading {
        Reading {
            name: "symbols.sources".to_owned(),
            unit: Unit::Bytes,
            limit: SOURCES_BYTES_MAX,
            used: self.bytes,
            peak: self.bytes_peak,
            rejected: self.evicted,
            counters: vec![
                Counter { name: "files", value: self.files.len() as u64 },
                Counter { name: "read", value: self.read },
                Counter { name: "named", value: self.named },
            ],
        }
    }
}

/// Which state of a file was read.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Version {
    modified: SystemTime,
    length: u64,
}

impl Version {
    fn of(path: &str) -> Option<Version> {
        // Asked before it is opened: opening a pipe would wait for somebody who writes.
        let file = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some(Version { modified: file.modified().ok()?, length: file.len() })
    }
}

/// The text of a file of this length. Allocates that.
fn read(path: &str, length: u64) -> Option<String> {
    let mut text = String::with_capacity(usize::try_from(length).ok()?);
    File::open(path).ok()?.take(length).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Whether a path is that of a Rust source file of the program's own.
fn is_source(path: &str) -> bool {
    path.starts_with('/') && path.ends_with(".rs") && !LIBRARIES.iter().any(|library| path.contains(library))
}

/// A function's name that is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Half<'a> {
    wanted: Wanted<'a>,
    /// What comes behind the path: `::{closure#0}`, or only generic arguments.
    rest: &'a str,
}

impl<'a> Half<'a> {
    /// What `function` lacks; nothing if it has a path, or is of a kind that has none.
    fn of(function: &'a str) -> Option<Half<'a>> {
        if let Some(inside) = function.strip_prefix('{') {
            let (body, _) = inside.split_once('}')?.0.split_once('#')?;
            let is_body = body == "closure"
                || ["async_", "gen_", "coroutine"].iter().any(|begin| body.starts_with(begin));
            let wanted = if body == "async_fn" { Wanted::AsyncFunction } else { Wanted::Body };
            return is_body.then_some(Half { wanted, rest: function });
        }
        let (name, rest) = function.split_at(function.find('<').unwrap_or(function.len()));
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        let wanted = Wanted::Function(name);
        (is_name && last_part(function) == 0).then_some(Half { wanted, rest })
    }

    /// The whole name, if a function that fits stands on this line.
    fn whole(self, outline: &Outline, line: u32) -> Option<String> {
        let path = outline.find(line, self.wanted)?;
        let mut path = &path[..];
        while let Some((first, inner)) = path.split_once("::")
            && STANDARD_CRATES.contains(&first)
        {
            path = inner;
        }
        let whole = match self.wanted {
            Wanted::Function(name) if name == path => return None,
            Wanted::Function(_) => format!("{path}{}", self.rest),
            _ if STANDARD_CRATES.contains(&path) => return None,
            _ => format!("{path}::{}", self.rest),
        };
        Some(cut(&whole, FUNCTION_NAME_MAX))
    }
}

#[cfg(test)]
mod tests;
