//! Other programs: run, and when one fails, named the way one would type it to see it fail again.

use std::process::{Command, Stdio};

use crate::trouble::Trouble;

/// What kept a step from passing.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The command that did not end well, as one would type it; none when it was no command.
    pub(crate) command: Option<String>,
    /// In words.
    pub(crate) what: String,
}

/// Runs `command` with our output as its output.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let what = match command.status() {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => status.to_string(),
        Err(error) => format!("could not be started: {error}"),
    };
    Err(Failure { command: Some(typed(command)), what })
}

/// Whether `command` ends well; what it says is thrown away.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What `command` prints; its complaints go where ours go.
pub(crate) fn printed(command: &mut Command) -> Result<String, Trouble> {
    let undone = |command: &Command, what: String| Trouble::Undone(format!("`{}`: {what}", typed(command)));
    let output = match command.stderr(Stdio::inherit()).output() {
        Ok(output) if output.status.success() => output,
        Ok(output) => return Err(undone(command, output.status.to_string())),
        Err(error) => return Err(undone(command, format!("could not be started: {error}"))),
    };
    String::from_utf8(output.stdout).map_err(|error| undone(command, format!("printed no text: {error}")))
}

/// `command` as a line for a shell, with the variables that were set for it in front.
pub(crate) fn typed(command: &Command) -> String {
    let mut words = Vec::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            words.push(format!("{}={}", name.display(), quoted(&value.to_string_lossy())));
        }
    }
    words.push(quoted(&command.get_program().to_string_lossy()));
    words.extend(command.get_args().map(|arg| quoted(&arg.to_string_lossy())));
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=+:,%@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_named_as_one_would_type_it() {
        let mut command = Command::new("cargo");
        command.env("RUSTFLAGS", "--cfg loom").args(["test", "--test", "loom_*"]);
        assert_eq!(typed(&command), "RUSTFLAGS='--cfg loom' cargo test --test 'loom_*'");
    }

    #[test]
    fn a_failure_says_which_command_and_how_it_ended() {
        let failure = run(Command::new("sh").args(["-c", "exit 3"])).expect_err("it ended with 3");
        assert_eq!(failure.command.as_deref(), Some("sh -c 'exit 3'"));
        assert!(failure.what.contains('3'), "{}", failure.what);
        let failure = run(&mut Command::new("no-such-program-anywhere")).expect_err("there is none");
        assert!(failure.what.contains("could not be started"), "{}", failure.what);
    }
}
