//! What is recorded, and what a run of it must say to count.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::options::Options;
use crate::workers::{Frames, HEAPTRACK_SIGN, Reading, Workers};

use super::process::{Running, Said};
use super::redis;
use super::setups::{Around, Setup, Way};
use super::tools::Tools;

/// How long any of these programs may take, whatever follows it; alone they take about a second. What takes
/// longer hangs.
const RUN_S_MAX: u64 = 180;

/// Times that the document is parsed and written: about half a second of CPU time.
const PYTHON_TIMES: u64 = 25;
const NODE_TIMES: u64 = 50;
/// Iterations of the worker's `service`, the same.
const RUST_TIMES: u64 = 20;
const RUST_WARM_UP: u64 = 2;

/// One program with one kind of work.
pub(super) struct Program {
    /// The row, known to the limits.
    pub(super) name: &'static str,
    pub(super) part: &'static str,
    /// What it is, for the one who reads the table.
    pub(super) about: String,
    /// The command, or what is missing to run it.
    pub(super) command: Result<Vec<OsString>, String>,
    pub(super) env: Option<(&'static str, &'static str)>,
    pub(super) language: Language,
}

/// What matters to who records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// A server: it is given work by a client, and says its own CPU time.
    Redis {
        /// Of each kind.
        requests: u64,
    },
    Python {
        /// Its small objects stay in its own allocator, and none of them is seen.
        keeps_pymalloc: bool,
    },
    Other,
}

/// What one run gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Run {
    /// CPU time of the work.
    pub(super) cpu_ns: f64,
    /// CPU time of the process up to the end of the work, its start included.
    pub(super) process_cpu_ns: f64,
    /// Page faults of the work.
    pub(super) page_faults: f64,
    /// Depends on all that was done.
    pub(super) checksum: String,
    /// What else was written: the same alone and recorded.
    pub(super) talk: String,
    /// Samples in the profile, if it is ours.
    pub(super) samples: Option<f64>,
    /// CPU time of the recorder while the work was done, where it can be seen.
    pub(super) recorder_ns: Option<f64>,
}

/// All of them, those that cannot be run too.
pub(super) fn all(options: &Options, tools: &Tools, workers: &Workers) -> Vec<Program> {
    let times = |times: u64| if options.quick { times / 2 } else { times }.to_string();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs");
    let script = |interpreter: &Result<OsString, String>, name: &str, count: u64| {
        let interpreter = interpreter.clone()?;
        Ok(vec![interpreter, scripts.join(name).into(), times(count).into()])
    };
    let python = || script(&tools.python, "work.py", PYTHON_TIMES);
    let requests = if options.quick { redis::REQUESTS / 2 } else { redis::REQUESTS };
    let worker = workers.path("work_system", Frames::None);
    let warm_up = RUST_WARM_UP.to_string();
    let rust = [worker.into(), "service".into(), "plain".into(), warm_up.into(), times(RUST_TIMES).into()];
    let json = "3,000 objects of JSON parsed and written";
    vec![
        Program {
            name: "redis",
            part: "redis",
            about: format!("{requests} each of set, get, lpush and hset, {} bytes", redis::VALUE_BYTES),
            command: tools.redis.clone().map(|program| vec![program]),
            env: None,
            language: Language::Redis { requests },
        },
        Program {
            name: "python",
            part: "python",
            about: format!("{json}, {} times; recorded with --keep-pymalloc", times(PYTHON_TIMES)),
            command: python(),
            env: None,
            language: Language::Python { keeps_pymalloc: true },
        },
        Program {
            name: "python, malloc",
            part: "python",
            about: "the same with PYTHONMALLOC=malloc, alone too".to_owned(),
            command: python(),
            env: Some(("PYTHONMALLOC", "malloc")),
            language: Language::Python { keeps_pymalloc: false },
        },
        Program {
            name: "node",
            part: "node",
            about: format!("{json}, maps of them made and a buffer filled, {} times", times(NODE_TIMES)),
            command: script(&tools.node, "work.js", NODE_TIMES),
            env: None,
            language: Language::Other,
        },
        Program {
            name: "rust",
            part: "rust",
            about: format!("`json` and `maps` of the suite `heap`, {} times each", times(RUST_TIMES)),
            command: Ok(rust.into()),
            env: None,
            language: Language::Other,
        },
    ]
}

impl Program {
    /// Runs it once, with nothing or something around it.
    pub(super) fn run(&self, setup: &Setup, around: &Around) -> Result<Run, String> {
        let prefix = around.prefix(setup, self.language)?;
        let command = self.command.as_ref().map_err(String::clone)?;
        around.clean();
        let start = |args: &[OsString]| {
            let mut command = prefix.around(command, args);
            command.envs(self.env);
            Running::start(command, around.scratch)
        };
        let recorded = matches!(setup.way, Way::Plimsoll { .. });
        let (mut run, said) = match self.language {
            Language::Redis { requests } => redis::run(requests, recorded, around, start)?,
            Language::Python { .. } | Language::Other => {
                let said = start(&[])?.wait(Duration::from_secs(RUN_S_MAX))?;
                (Run::read(&said)?, said)
            }
        };
        match setup.way {
            Way::Plain => {}
            Way::Plimsoll { .. } => run.samples = Some(samples(&around.profile())?),
            // It would look cheap if it followed nothing.
            Way::Heaptrack if !(said.output + &said.errors).contains(HEAPTRACK_SIGN) => {
                return Err("heaptrack does not say what it followed".to_owned());
            }
            Way::Memray { .. } if fs::metadata(around.memray_file()).map_or(0, |file| file.len()) == 0 => {
                return Err("memray wrote nothing".to_owned());
            }
            Way::Heaptrack | Way::Memray { .. } => {}
        }
        Ok(run)
    }
}

impl Run {
    fn read(said: &Said) -> Result<Run, String> {
        let reading =
            Reading::parse(&said.output).ok_or_else(|| format!("is not understood: {}", said.output))?;
        let number = |name: &str| {
            let last = reading.numbers(name).last().copied();
            last.ok_or_else(|| format!("does not say `{name}`: {}", said.output))
        };
        let talk = format!("{}{}", reading.talk, said.errors);
        Ok(Run {
            cpu_ns: number("cpu_ns")?,
            process_cpu_ns: number("process_cpu_ns")?,
            page_faults: number("page_faults")?,
            checksum: number("checksum")?.to_string(),
            talk,
            ..Run::default()
        })
    }
}

/// The samples of a profile; none at all is a failure.
fn samples(profile: &Path) -> Result<f64, String> {
    let bytes = fs::read(profile).map_err(|error| format!("there is no profile: {error}"))?;
    let profile = plimsoll_verdict::read(&bytes).map_err(|error| format!("the profile is bad: {error}"))?;
    match &profile.header().status {
        Some(status) if status.samples > 0 => Ok(status.samples as f64),
        Some(_) => Err("nothing was sampled".to_owned()),
        None => Err("the profile does not say how many samples there were".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_read_with_what_it_said_beside_its_numbers() {
        let said = Said {
            output:
                "hello\nplimsoll-bench checksum=7\nplimsoll-bench cpu_ns=5\nplimsoll-bench process_cpu_ns=9\nplimsoll-bench page_faults=3\n"
                    .to_owned(),
            errors: "oh\n".to_owned(),
        };
        let run = Run::read(&said).expect("all is there");
        assert_eq!((run.cpu_ns, run.process_cpu_ns, run.page_faults), (5.0, 9.0, 3.0));
        assert_eq!((&*run.checksum, &*run.talk), ("7", "hello\noh\n"));
        let silent = Said { output: "hello\n".to_owned(), errors: String::new() };
        assert!(Run::read(&silent).is_err_and(|why| why.contains("`cpu_ns`")));
    }

    #[test]
    fn a_profile_without_samples_is_none() {
        let path = std::env::temp_dir().join(format!("plimsoll-bench-profile-{}", std::process::id()));
        assert!(samples(&path).is_err_and(|why| why.starts_with("there is no profile")));
        fs::write(&path, "not a profile").expect("the folder for what is temporary can be written to");
        assert!(samples(&path).is_err_and(|why| why.starts_with("the profile is bad")));
        fs::remove_file(&path).ok();
    }
}
