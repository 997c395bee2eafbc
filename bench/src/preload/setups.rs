//! What is put around a program: nothing, ours, or a rival.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::options::Options;
use crate::workers::HEAPTRACK;

use super::programs::{Language, Program};
use super::tools::{Memray, Tools};

/// The program alone.
pub(super) const BASE: &str = "base";
/// The same once more, last in its round: its distance from the first is noise.
pub(super) const BASE_AGAIN: &str = "base again";
/// Ours at the interval that the limits are about.
pub(super) const MEAN_512: &str = "512 KiB";
/// Ours where each allocation is a sample.
pub(super) const EVERY: &str = "every allocation";

/// A setup as the table names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) name: &'static str,
    pub(super) way: Way,
}

/// How it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Plain,
    Plimsoll {
        /// As on the command line.
        sample: &'static str,
    },
    Heaptrack,
    Memray {
        /// With the frames that are not Python's.
        native: bool,
    },
}

const SETUPS: [Setup; 7] = [
    Setup { name: BASE, way: Way::Plain },
    Setup { name: MEAN_512, way: Way::Plimsoll { sample: "512KiB" } },
    Setup { name: EVERY, way: Way::Plimsoll { sample: "all" } },
    Setup { name: "heaptrack", way: Way::Heaptrack },
    Setup { name: "memray", way: Way::Memray { native: false } },
    Setup { name: "memray --native", way: Way::Memray { native: true } },
    Setup { name: BASE_AGAIN, way: Way::Plain },
];

/// The setups of a program, the base first and last.
pub(super) fn of(program: &Program, options: &Options, captures_only: bool) -> Vec<Setup> {
    let python = matches!(program.language, Language::Python { .. });
    let fits = |setup: &&Setup| match setup.way {
        Way::Plain => true,
        Way::Plimsoll { .. } => options.wants_setup(&[setup.name, "plimsoll"]),
        Way::Heaptrack => options.wants_setup(&[setup.name]),
        Way::Memray { .. } => python && options.wants_setup(&[setup.name]),
    };
    let needed = |setup: &&Setup| !captures_only || setup.way == Way::Plain || setup.name == EVERY;
    SETUPS.iter().filter(fits).filter(needed).copied().collect()
}

/// Whether memray is run at all.
pub(super) fn wants_memray(options: &Options) -> bool {
    let wanted =
        |setup: &Setup| matches!(setup.way, Way::Memray { .. }) && options.wants_setup(&[setup.name]);
    options.wants_part("python") && SETUPS.iter().any(wanted)
}

/// What setups need to be put around a program.
pub(super) struct Around<'a> {
    pub(super) tools: &'a Tools,
    pub(super) memray: Option<&'a Memray>,
    /// For what is written in a run.
    pub(super) scratch: &'a Path,
}

/// What stands before a program's name, or in place of its interpreter.
pub(super) struct Prefix {
    words: Vec<OsString>,
    /// The program's own first word is left out: the last word of the prefix runs its script.
    replaces_interpreter: bool,
}

impl Prefix {
    /// The command of a program with this before it.
    pub(super) fn around(&self, command: &[OsString], args: &[OsString]) -> Command {
        let kept = command.iter().skip(usize::from(self.replaces_interpreter));
        let mut words = self.words.iter().chain(kept).chain(args);
        let mut whole = Command::new(words.next().map_or(OsStr::new(""), OsString::as_os_str));
        whole.args(words);
        whole
    }
}

impl Around<'_> {
    /// What stands before the program, or what is missing for it.
    pub(super) fn prefix(&self, setup: &Setup, language: Language) -> Result<Prefix, String> {
        let mut replaces_interpreter = false;
        let words: Vec<OsString> = match setup.way {
            Way::Plain => Vec::new(),
            Way::Plimsoll { sample } => {
                let keeps_pymalloc = language == Language::Python { keeps_pymalloc: true };
                let mut words: Vec<OsString> = vec![self.tools.plimsoll.clone().into()];
                words.extend(["record", "--quiet", "--sample", sample].map(OsString::from));
                words.extend(keeps_pymalloc.then(|| "--keep-pymalloc".into()));
                words.extend(["-o".into(), self.profile().into(), "--".into()]);
                words
            }
            Way::Heaptrack => {
                self.tools.heaptrack.as_ref().map_err(String::clone)?;
                vec![HEAPTRACK.into(), "--output".into(), self.scratch.join("heaptrack-%p").into()]
            }
            Way::Memray { native } => {
                let memray = self.memray.ok_or_else(|| "memray was left out".to_owned())?;
                let python = memray.python.clone()?;
                replaces_interpreter = true;
                let mut words = vec![python.into()];
                words.extend(["-m", "memray", "run", "--quiet", "--force"].map(OsString::from));
                words.extend(native.then(|| "--native".into()));
                words.extend(["--output".into(), self.memray_file().into()]);
                words
            }
        };
        Ok(Prefix { words, replaces_interpreter })
    }

    /// Where ours writes.
    pub(super) fn profile(&self) -> PathBuf {
        self.scratch.join("profile.json")
    }

    /// Where memray writes.
    pub(super) fn memray_file(&self) -> PathBuf {
        self.scratch.join("memray.bin")
    }

    /// Removes what the run before wrote: a file of its must not be taken for one of the next.
    pub(super) fn clean(&self) {
        let Ok(entries) = fs::read_dir(self.scratch) else { return };
        for entry in entries.flatten() {
            fs::remove_file(entry.path()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(setup: &str, keeps_pymalloc: bool) -> String {
        let tools = Tools::none(Path::new("/bin/plimsoll"));
        let memray = Memray { python: Ok("/venv/python".into()) };
        let around = Around { tools: &tools, memray: Some(&memray), scratch: Path::new("/s") };
        let setup = SETUPS.iter().find(|known| known.name == setup).expect("it is one of them");
        let prefix = around.prefix(setup, Language::Python { keeps_pymalloc }).expect("nothing is missing");
        let command = prefix.around(&["python3".into(), "work.py".into()], &["9".into()]);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn programs_are_started_as_anybody_would() {
        assert_eq!(words(BASE, false), "python3 work.py 9");
        assert_eq!(
            words(MEAN_512, true),
            "/bin/plimsoll record --quiet --sample 512KiB --keep-pymalloc -o /s/profile.json -- python3 work.py 9"
        );
        assert_eq!(
            words(EVERY, false),
            "/bin/plimsoll record --quiet --sample all -o /s/profile.json -- python3 work.py 9"
        );
        assert_eq!(
            words("memray --native", false),
            "/venv/python -m memray run --quiet --force --native --output /s/memray.bin work.py 9"
        );
    }
}
