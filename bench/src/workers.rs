//! The workers: built with the flags that a measurement needs, run one at a time, and read.

use std::collections::HashMap;
use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::options::Options;
use crate::trouble::Trouble;

/// Begins each line of a worker that is for us; `program::LINE_PREFIX` in the workers.
const LINE_PREFIX: &str = "plimsoll-bench ";
/// heaptrack's program; `apt-get install heaptrack`.
pub(crate) const HEAPTRACK: &str = "heaptrack";
/// Valgrind's program; `apt-get install valgrind`.
const VALGRIND: &str = "valgrind";
/// What heaptrack writes when it followed something.
pub(crate) const HEAPTRACK_SIGN: &str = "heaptrack stats:";

/// Whether workers keep frame pointers. What is measured asks for them; a program that has none is unwound
/// another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Frames {
    Pointers,
    None,
}

impl Frames {
    const fn folder(self) -> &'static str {
        match self {
            Self::Pointers => "bench-frame-pointers",
            Self::None => "bench-no-frame-pointers",
        }
    }

    const fn rust_flags(self) -> &'static str {
        match self {
            Self::Pointers => "-C force-frame-pointers=yes",
            Self::None => "-C force-frame-pointers=no",
        }
    }
}

/// What is started around a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Around {
    Nothing,
    /// Its interpreter is a process of its own, whose CPU time the worker does not see.
    Heaptrack,
    /// Counts instructions.
    Callgrind,
}

/// One run of a worker.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) worker: &'static str,
    pub(crate) frames: Frames,
    pub(crate) around: Around,
    /// Set for this run; nothing that another setup listens to.
    pub(crate) env: Option<(&'static str, &'static str)>,
    pub(crate) args: Vec<String>,
}

/// What a worker said: a name may come more than once.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    numbers: HashMap<String, Vec<f64>>,
    /// What was written beside the numbers, by the worker or by what was around it.
    pub(crate) talk: String,
}

impl Reading {
    /// The number of that name; the last if it was said more than once.
    pub(crate) fn number(&self, name: &str) -> Result<f64, Trouble> {
        let last = self.numbers.get(name).and_then(|numbers| numbers.last());
        last.copied().ok_or_else(|| Trouble::Undone(format!("a worker did not say `{name}`: {self:?}")))
    }

    /// All numbers of that name.
    pub(crate) fn numbers(&self, name: &str) -> &[f64] {
        self.numbers.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Reads what a worker wrote; nothing if a line for us is not understood.
    pub(crate) fn parse(output: &str) -> Option<Reading> {
        let mut reading = Reading::default();
        for line in output.lines() {
            let Some(said) = line.strip_prefix(LINE_PREFIX) else {
                writeln!(reading.talk, "{line}").ok()?;
                continue;
            };
            let (name, number) = said.split_once('=')?;
            reading.numbers.entry(name.to_owned()).or_default().push(number.parse().ok()?);
        }
        Some(reading)
    }
}

/// The built workers, and a folder for what profilers write.
pub(crate) struct Workers {
    target: PathBuf,
    scratch: PathBuf,
}

impl Drop for Workers {
    fn drop(&mut self) {
        // What is left lies in the system's temporary folder; nothing worth a failure.
        fs::remove_dir_all(&self.scratch).ok();
    }
}

impl Workers {
    /// Builds what the options leave in.
    pub(crate) fn build(options: &Options) -> Result<Workers, Trouble> {
        let workers = Workers::prepare()?;
        let plimsoll = options.wants_setup(&["plimsoll"]).then_some("plimsoll");
        let features = |rivals: bool| {
            let features: Vec<&str> = plimsoll.into_iter().chain(rivals.then_some("rivals")).collect();
            features.join(",")
        };
        workers.build_with(Frames::Pointers, &features(true))?;
        workers.build_with(Frames::None, &features(false))?;
        Ok(workers)
    }

    /// Builds those that hold nothing of what is measured, as most programs are built.
    pub(crate) fn build_bases() -> Result<Workers, Trouble> {
        let workers = Workers::prepare()?;
        workers.build_with(Frames::None, "")?;
        Ok(workers)
    }

    fn prepare() -> Result<Workers, Trouble> {
        let undone = |what: String| Trouble::Undone(what);
        // Beside the runner itself: wherever Cargo was told to build.
        let own = env::current_exe().map_err(|error| undone(format!("where am I? {error}")))?;
        let target = own.ancestors().nth(2).unwrap_or(Path::new("target")).to_owned();
        let scratch = env::temp_dir().join(format!("plimsoll-bench-{}", std::process::id()));
        fs::create_dir_all(&scratch)
            .map_err(|error| undone(format!("{} could not be made: {error}", scratch.display())))?;
        Ok(Workers { target, scratch })
    }

    /// Where the worker of that name lies.
    pub(crate) fn path(&self, worker: &str, frames: Frames) -> PathBuf {
        self.target.join(frames.folder()).join("release").join(worker)
    }

    /// For what is built once and kept.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// For what is written in a run; removed at the end.
    pub(crate) fn scratch(&self) -> &Path {
        &self.scratch
    }

    fn build_with(&self, frames: Frames, features: &str) -> Result<(), Trouble> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("workers/Cargo.toml");
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--release", "--features", features]);
        cargo.arg("--manifest-path").arg(manifest);
        cargo.arg("--target-dir").arg(self.target.join(frames.folder()));
        // Flags from a configuration or the caller's environment would make other programs of both.
        cargo.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", frames.rust_flags());
        match cargo.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Trouble::Undone(format!("the workers were not built: {status}"))),
            Err(error) => Err(Trouble::Undone(format!("{cargo:?} could not be started: {error}"))),
        }
    }

    /// Runs it and reads what it says.
    pub(crate) fn run(&self, call: &Call) -> Result<Reading, Trouble> {
        let mut command = self.command(call);
        let output = match command.stdin(Stdio::null()).output() {
            Ok(output) => output,
            Err(error) => {
                return Err(Trouble::Undone(format!("{command:?} could not be started: {error}")));
            }
        };
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        let undone = |what: &str| Trouble::Undone(format!("{command:?} {what}:\n{said}{complained}"));
        if !output.status.success() {
            return Err(undone("failed"));
        }
        let mut reading = Reading::parse(&said).ok_or_else(|| undone("is not understood"))?;
        reading.talk += &complained;
        // A rival that followed nothing would look cheap.
        if call.around == Around::Heaptrack && !reading.talk.contains(HEAPTRACK_SIGN) {
            return Err(undone("does not say what it followed"));
        }
        Ok(reading)
    }

    fn command(&self, call: &Call) -> Command {
        let worker = self.path(call.worker, call.frames);
        let mut command = match call.around {
            Around::Nothing => Command::new(worker),
            Around::Heaptrack => {
                let mut command = Command::new(HEAPTRACK);
                command.arg("--output").arg(self.scratch.join("heaptrack-%p")).arg(worker);
                command
            }
            Around::Callgrind => {
                let mut command = Command::new(VALGRIND);
                command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(worker);
                command
            }
        };
        command.args(&call.args).envs(call.env);
        command
    }
}

/// Complains if a program that is needed from outside is not there.
pub(crate) fn need(around: Around) -> Result<(), Trouble> {
    let (program, cure) = match around {
        Around::Nothing => return Ok(()),
        Around::Heaptrack => (HEAPTRACK, "install it, or leave it out with `--without heaptrack`"),
        Around::Callgrind => (VALGRIND, "install it; instructions are counted with its callgrind"),
    };
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Trouble::Undone(format!("`{program}` is not there: {cure}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_talk_is_kept() {
        let said =
            "starting application\nplimsoll-bench a=1\nplimsoll-bench b=2.5\nplimsoll-bench a=3\nbye\n";
        let reading = Reading::parse(said).expect("all lines are well formed");
        assert_eq!((reading.number("a").ok(), reading.numbers("a")), (Some(3.0), &[1.0, 3.0][..]));
        assert_eq!((reading.number("b").ok(), reading.numbers("c")), (Some(2.5), &[][..]));
        assert!(matches!(reading.number("c"), Err(Trouble::Undone(why)) if why.contains("`c`")));
        assert_eq!(reading.talk, "starting application\nbye\n");
        assert!(Reading::parse("plimsoll-bench a=many").is_none());
    }
}
