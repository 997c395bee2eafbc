//! A process that is watched: it must end in time, and whatever it started ends with it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked whether a process has ended.
const LOOK: Duration = Duration::from_millis(5);
/// As much of what a failed program said is shown, in characters.
const SHOWN_MAX: usize = 300;

/// What a program wrote.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) output: String,
    pub(super) errors: String,
}

/// A process and, in its group, what it starts; killed with all of it unless it is waited for.
pub(super) struct Running {
    child: Child,
    /// Files and not pipes: nobody has to read while it runs.
    output: PathBuf,
    errors: PathBuf,
    ended: bool,
}

impl Running {
    /// Starts it. What it writes goes to files in `scratch`, so one at a time.
    pub(super) fn start(mut command: Command, scratch: &Path) -> Result<Running, String> {
        let (output, errors) = (scratch.join("output"), scratch.join("errors"));
        let file = |path: &Path| File::create(path).map_err(|error| format!("{}: {error}", path.display()));
        command.stdin(Stdio::null()).stdout(file(&output)?).stderr(file(&errors)?).process_group(0);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().map_err(|error| format!("`{program}` could not be started: {error}"))?;
        Ok(Running { child, output, errors, ended: false })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until it ends. It must end well, and within that time.
    pub(super) fn wait(mut self, within: Duration) -> Result<Said, String> {
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if begun.elapsed() < within => thread::sleep(LOOK),
                Ok(None) => {
                    return Err(format!("did not end within {within:?}{}", shown(&self.said().errors)));
                }
                Err(error) => return Err(format!("could not be waited for: {error}")),
            }
        };
        self.ended = true;
        let said = self.said();
        if status.success() { Ok(said) } else { Err(format!("{status}{}", shown(&said.errors))) }
    }

    /// What it has written up to now.
    pub(super) fn said(&self) -> Said {
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        Said { output: read(&self.output), errors: read(&self.errors) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // The group is its own: `process_group(0)` above. Its number is not another's before it is waited for.
        let group = format!("-{}", self.pid());
        Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status().ok();
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What a failed program said last, in one line.
pub(super) fn shown(said: &str) -> String {
    let line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let skipped = line.chars().count().saturating_sub(SHOWN_MAX);
    let tail: String = line.chars().skip(skipped).collect();
    if tail.is_empty() { tail } else { format!(": {tail}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, within_ms: u64) -> Result<Said, String> {
        let scratch = std::env::temp_dir().join(format!("plimsoll-bench-{}-{within_ms}", std::process::id()));
        fs::create_dir_all(&scratch).expect("the folder for what is temporary can be written to");
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let said = Running::start(command, &scratch)
            .and_then(|running| running.wait(Duration::from_millis(within_ms)));
        fs::remove_dir_all(&scratch).ok();
        said
    }

    #[test]
    fn what_is_said_is_read() {
        let said = run("echo out; echo err >&2", 10_000).expect("it ends well");
        assert_eq!((&*said.output, &*said.errors), ("out\n", "err\n"));
    }

    #[test]
    fn failing_and_hanging_are_told() {
        let failed = run("echo no >&2; exit 3", 10_001).expect_err("it fails");
        assert_eq!(failed, "exit status: 3: no");
        let begun = Instant::now();
        let hung = run("sleep 60; echo never", 50).expect_err("it hangs");
        assert!(
            hung.starts_with("did not end within") && begun.elapsed() < Duration::from_secs(30),
            "{hung}"
        );
    }
}
