//! The programs of this machine that are measured, and the rivals. What is missing is said in the row that
//! would need it; only without ours there is nothing to do.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::options::Options;
use crate::trouble::Trouble;
use crate::workers::HEAPTRACK;

use super::process::shown;

/// The release of memray that ours is compared with: one for all, so that tables can be compared.
const MEMRAY_VERSION: &str = "1.20.0";
/// Says where the interpreter itself is: `python3` may be a script that looks for one.
const PYTHON_PATH: &str = "import os, sys; print(os.path.realpath(sys.executable))";

/// What was found.
pub(super) struct Tools {
    pub(super) plimsoll: PathBuf,
    pub(super) redis: Result<OsString, String>,
    pub(super) python: Result<OsString, String>,
    pub(super) node: Result<OsString, String>,
    /// Nothing, or why it cannot be run.
    pub(super) heaptrack: Result<(), String>,
    programs: String,
    own: String,
}

/// memray in an environment of its own.
pub(super) struct Memray {
    /// Its interpreter, or why there is none.
    pub(super) python: Result<PathBuf, String>,
}

impl Tools {
    /// Looks for all of them.
    pub(super) fn find(options: &Options) -> Result<Tools, Trouble> {
        let plimsoll = options.plimsoll.clone().unwrap_or_else(built_here);
        // The words of a command that does nothing: a `plimsoll` without the verb is too old.
        said(Command::new(&plimsoll).args(["record", "--help"])).map_err(|why| {
            Trouble::Undone(format!(
                "`{} record --help` does not work: {why}\nbuild it with `cargo build --release -p plimsoll-cli \
                 -p plimsoll-preload` in the repository, or name another with `--plimsoll PATH`",
                plimsoll.display()
            ))
        })?;
        let own = said(Command::new(&plimsoll).arg("--version")).unwrap_or_else(|why| why);

        let version = |program: &str| said(Command::new(program).arg("--version"));
        let missing = |program: &str, cure: &str| format!("`{program}` is not there: {cure}");
        let redis = version("redis-server").and_then(|server| Ok((server, version("redis-benchmark")?)));
        let redis = redis.map_err(|_| missing("redis-server", "`apt-get install redis-server redis-tools`"));
        let python = said(Command::new("python3").args(["-c", PYTHON_PATH]))
            .and_then(|path| Ok((said(Command::new(&path).arg("--version"))?, path)))
            .map_err(|_| missing("python3", "`apt-get install python3`"));
        let node = version("node").map_err(|_| missing("node", "`apt-get install nodejs`"));
        let heaptrack = version(HEAPTRACK).map_err(|_| missing(HEAPTRACK, "`apt-get install heaptrack`"));

        let names = [
            redis.as_ref().map(|(server, _)| server.clone()),
            python.as_ref().map(|(version, path)| format!("{version} ({path})")),
            node.as_ref().map(|version| format!("node {version}")),
        ];
        let programs = names.into_iter().map(|name| name.unwrap_or_else(Clone::clone));
        Ok(Tools {
            programs: programs.collect::<Vec<_>>().join("; "),
            own: format!("{own} ({})", plimsoll.display()),
            plimsoll,
            redis: redis.map(|_| "redis-server".into()),
            python: python.map(|(_, path)| path.into()),
            node: node.map(|_| "node".into()),
            heaptrack: heaptrack.map(drop),
        })
    }

    /// For the head of the table.
    pub(super) fn versions(&self, memray: Option<&Memray>) -> Vec<(&'static str, String)> {
        let heaptrack = said(Command::new(HEAPTRACK).arg("--version")).unwrap_or_else(|_| "none".to_owned());
        let memray = match memray {
            Some(Memray { python: Ok(_) }) => format!("memray {MEMRAY_VERSION}"),
            Some(Memray { python: Err(why) }) => why.clone(),
            None => "memray left out".to_owned(),
        };
        let rivals = format!("{heaptrack}; {memray}");
        vec![("measured", self.own.clone()), ("programs", self.programs.clone()), ("rivals", rivals)]
    }

    /// memray in a folder of `target`; fetched if it is not there.
    pub(super) fn memray(&self, target: &Path) -> Memray {
        let Ok(python) = &self.python else {
            return Memray { python: Err("memray needs python3".to_owned()) };
        };
        let folder = target.join(format!("bench-memray-{MEMRAY_VERSION}"));
        let inside = folder.join("bin/python");
        let works = || {
            let asked = said(Command::new(&inside).args(["-c", "import memray; print(memray.__version__)"]));
            asked.is_ok_and(|version| version == MEMRAY_VERSION)
        };
        if works() {
            return Memray { python: Ok(inside) };
        }
        eprintln!("fetching memray {MEMRAY_VERSION} into {}", folder.display());
        let fetch = || {
            said(Command::new(python).args(["-m", "venv", "--clear"]).arg(&folder))?;
            let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
            said(Command::new(&inside).args(install).arg(format!("memray=={MEMRAY_VERSION}")))?;
            if works() { Ok(inside.clone()) } else { Err("it cannot be imported".to_owned()) }
        };
        Memray { python: fetch().map_err(|why: String| format!("memray could not be fetched: {why}")) }
    }

    #[cfg(test)]
    pub(super) fn none(plimsoll: &Path) -> Tools {
        let none = || Err("none".to_owned());
        Tools {
            plimsoll: plimsoll.to_owned(),
            redis: none(),
            python: none(),
            node: none(),
            heaptrack: Err("none".to_owned()),
            programs: String::new(),
            own: String::new(),
        }
    }
}

/// Where Cargo puts the program of the repository that this is a part of.
fn built_here() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository.join("target"), PathBuf::from);
    target.join("release/plimsoll")
}

/// What a command says, trimmed; or why it says nothing.
fn said(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("{}{}", output.status, shown(&String::from_utf8_lossy(&output.stderr))));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
