//! The exit codes, and the error that carries one.

use std::process::ExitCode;

use plimsoll_gateway::plan::PlanError;
use plimsoll_gateway::settings::SettingsError;

/// How the program ends. The numbers are a promise to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything is fine.
    Fine = 0,
    /// The thing that was asked about is bad: a leak was found, a chain is broken.
    Bad = 1,
    /// It could not be done.
    CouldNot = 2,
    /// There is not enough evidence to say.
    Undecided = 3,
    /// The command line, the environment or the settings file is wrong.
    Usage = 64,
}

impl Exit {
    const ALL: [Exit; 5] = [Exit::Fine, Exit::Bad, Exit::CouldNot, Exit::Undecided, Exit::Usage];

    /// What the code means, in a few words.
    const fn meaning(self) -> &'static str {
        match self {
            Exit::Fine => "fine",
            Exit::Bad => "the thing asked about is bad",
            Exit::CouldNot => "it could not be done",
            Exit::Undecided => "undecided",
            Exit::Usage => "wrong usage or a wrong setting, wherever it was set",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// The codes as they stand in the help.
pub(crate) fn help() -> String {
    let mut text = String::from("Exit codes:");
    for exit in Exit::ALL {
        text += &format!("\n  {:>2}  {}", exit as u8, exit.meaning());
    }
    text
}

/// Why a verb did not do what it was asked to: one line for the user, and the code to end with.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Failure {
    /// The user has to write something else.
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure { exit: Exit::Usage, message: message.into() }
    }

    /// Something that was to be done went wrong.
    pub(crate) fn could_not(message: impl Into<String>) -> Failure {
        Failure { exit: Exit::CouldNot, message: message.into() }
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Failure {
        Failure::usage(error.to_string())
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Failure {
        Failure::usage(error.to_string())
    }
}
