//! A process that is waited for: it must end in time, and whatever it started ends with it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked whether a process has ended.
const LOOK: Duration = Duration::from_millis(50);
/// As much of what a failed program said is shown, in characters.
const SHOWN_MAX: usize = 300;

/// How a process ended, and what it wrote.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

/// A process and, in its group, what it starts; killed with all of it unless it is waited for.
pub(crate) struct Running {
    child: Child,
    ended: bool,
}

/// Runs it to its end, which must come within that time. What it writes goes to files in `scratch`, whose names begin
/// with `name`.
pub(crate) fn run(
    mut command: Command,
    within: Duration,
    scratch: &Path,
    name: &str,
) -> Result<Ended, String> {
    // Files and not pipes: nobody has to read while it runs.
    let (output, errors) = (scratch.join(format!("{name}.out")), scratch.join(format!("{name}.err")));
    let file = |path: &Path| File::create(path).map_err(|error| format!("{}: {error}", path.display()));
    command.stdin(Stdio::null()).stdout(file(&output)?).stderr(file(&errors)?);
    let code = Running::start(&mut command)?.wait(within, &|| false)?;
    Ok(Ended { code, output: text(&output), errors: text(&errors) })
}

fn text(path: &PathBuf) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

impl Running {
    /// Starts it, in a group of its own.
    pub(crate) fn start(command: &mut Command) -> Result<Running, String> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.process_group(0).spawn();
        let child = child.map_err(|error| format!("`{program}` could not be started: {error}"))?;
        Ok(Running { child, ended: false })
    }

    /// What it writes to its standard error, if that is a pipe; once.
    pub(crate) fn errors(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Waits for its end, and returns its code (none if a signal ended it). It is ended if that takes longer, or if it is
    /// not wanted any more.
    pub(crate) fn wait(
        mut self,
        within: Duration,
        is_unwanted: &dyn Fn() -> bool,
    ) -> Result<Option<i32>, String> {
        let begun = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    self.ended = true;
                    return Ok(status.code());
                }
                Ok(None) if is_unwanted() => return Err("was not wanted any more".to_owned()),
                Ok(None) if begun.elapsed() < within => thread::sleep(LOOK),
                Ok(None) => return Err(format!("did not end within {within:?}")),
                Err(error) => return Err(format!("could not be waited for: {error}")),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // The group is its own: `process_group(0)` above. Its number is not another's before it is waited for.
        let group = format!("-{}", self.child.id());
        Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status().ok();
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What a failed program said last, in one line.
pub(crate) fn shown(said: &str) -> String {
    let line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let skipped = line.chars().count().saturating_sub(SHOWN_MAX);
    line.chars().skip(skipped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, within_ms: u64) -> Result<Ended, String> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let name = format!("corpus-{}-{within_ms}", std::process::id());
        let scratch = std::env::temp_dir();
        let ended = run(command, Duration::from_millis(within_ms), &scratch, &name);
        for ending in ["out", "err"] {
            fs::remove_file(scratch.join(format!("{name}.{ending}"))).ok();
        }
        ended
    }

    #[test]
    fn what_is_said_is_read_and_hanging_is_ended() {
        let ended = sh("echo out; echo err >&2; exit 3", 20_000).expect("it ends");
        assert_eq!((ended.code, &*ended.output, &*ended.errors), (Some(3), "out\n", "err\n"));
        let begun = Instant::now();
        let hung = sh("sleep 60; echo never", 100).expect_err("it hangs");
        assert!(hung.starts_with("did not end") && begun.elapsed() < Duration::from_secs(30), "{hung}");
    }
}
