//! From the tables of a process to a profile: addresses get their names, and the process is no longer needed.

use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use plimsoll_core::Bytes;
use plimsoll_core::heap::HeapSnapshot;
use plimsoll_heap::image::{Image, Process};
use plimsoll_symbols::{Limits, Sources, Symbolizer};
use plimsoll_verdict::{Profile, json};

use crate::exit::Exit;

/// How many addresses are remembered from one process to the next, and in how many bytes. The processes of a build
/// are hundreds of the same few programs.
const ADDRESSES_MAX: usize = 65_536;
const CACHE_MAX: Bytes = Bytes::mib(32);

/// Of which moment the profile of a process that has ended is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Its last instruction.
    End,
    /// When its heap was largest, if hardly anything was left of that in the end.
    Peak,
}

impl Moment {
    /// A program that was torn off holds what it held. One that ended by itself, or was asked to and did, as Python is by
    /// SIGINT, may have taken that down.
    pub(crate) fn of(exit: Exit) -> Moment {
        /// SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGSEGV and SIGTERM.
        const TORN_OFF: [u8; 7] = [4, 6, 7, 8, 9, 11, 15];
        let signal = exit.code().checked_sub(128);
        if signal.is_some_and(|signal| TORN_OFF.contains(&signal)) { Moment::End } else { Moment::Peak }
    }
}

/// Names what processes did, and remembers the names.
pub(crate) struct Namer {
    symbolizer: Symbolizer,
}

impl Namer {
    pub(crate) fn new() -> Namer {
        // Who watches a program is mostly who wrote it, on the machine where it was built.
        let limits = Limits {
            addresses_max: ADDRESSES_MAX,
            cache_max: CACHE_MAX,
            sources: Sources::AtHand,
            ..Limits::default()
        };
        Namer { symbolizer: Symbolizer::new(limits) }
    }

    /// The profile of a snapshot. Takes from a millisecond to some seconds for each file of code.
    pub(crate) fn profile(&mut self, snapshot: &HeapSnapshot, process: &Process) -> Profile {
        let names = self.symbolizer.resolve(snapshot);
        Profile::new(snapshot, &names).with_origin(origin(process))
    }

    /// The profile of a process that has ended, and what lived then if that is its peak.
    pub(crate) fn last_profile(
        &mut self,
        image: &Image,
        process: &Process,
        moment: Moment,
    ) -> (Profile, Option<Bytes>) {
        let Some(peak) = (moment == Moment::Peak).then(|| image.peak()).flatten() else {
            return (self.profile(&image.snapshot(), process), None);
        };
        let profile = self.profile(&peak, process);
        let origin = format!("{}, at its largest", profile.header().origin);
        (profile.with_origin(origin), Some(Bytes::new(peak.live().bytes)))
    }
}

/// Who took the profile and of whom, in one line.
fn origin(process: &Process) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let command: Vec<String> = process
        .command
        .iter()
        .map(|word| word.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
        .collect();
    let command = if command.is_empty() { process.program.clone() } else { command.join(" ") };
    let fork = if process.is_fork { ", forked" } else { "" };
    let mut line =
        format!("plimsoll {version}: pid {}{fork}, child of {}: {command}", process.pid, process.parent_pid);
    if line.len() > ORIGIN_MAX {
        line.truncate(line.floor_char_boundary(ORIGIN_MAX));
        line.push('…');
    }
    line
}

/// A command line may have megabytes; so many bytes of it say which process it was.
const ORIGIN_MAX: usize = 400;

/// Writes a profile as JSON, in gzip if the name of its file says so.
pub(crate) fn write(profile: &Profile, gzip: bool, mut out: &mut dyn Write) -> io::Result<()> {
    if gzip {
        let mut packed = GzEncoder::new(&mut out, Compression::default());
        json::write(profile, &mut packed)?;
        packed.finish()?;
    } else {
        json::write(profile, &mut out)?;
    }
    out.flush()
}

/// Whether a file of this name is to be packed.
pub(crate) fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"))
}

/// What a program is called in the name of a file: the last part of its path, in characters that need no quotes.
pub(crate) fn file_word(program: &str) -> String {
    let last = program.rsplit('/').next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._+-".contains(c) { c } else { '_' };
    let word: String = last.chars().take(PROGRAM_CHARS_MAX).map(plain).collect();
    let word = word.trim_start_matches(['.', '-']);
    if word.is_empty() { "program".to_owned() } else { word.to_owned() }
}

/// So much of a program's name goes into the name of a file; a whole name has 255 characters in all.
const PROGRAM_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_gives_a_name_that_needs_no_quotes() {
        for (program, word) in [
            ("/usr/bin/redis-server", "redis-server"),
            ("g++", "g++"),
            ("a b$c", "a_b_c"),
            ("..", "program"),
            ("/", "program"),
            ("-rf", "rf"),
        ] {
            assert_eq!(file_word(program), word);
        }
    }

    #[test]
    fn the_origin_is_one_line_of_bounded_length() {
        let process =
            Process { pid: 7, command: vec!["a\nb".into(), "ä".repeat(4_000)], ..Process::default() };
        let line = origin(&process);
        assert!(line.len() < ORIGIN_MAX + 8 && line.ends_with('…') && !line.contains('\n'), "{line}");
    }

    #[test]
    fn gzip_goes_by_the_name() {
        assert!(is_gzip(Path::new("a.json.gz")));
        assert!(!is_gzip(Path::new("gz")));
    }
}
