//! The exit codes, and the error that carries one.

use std::process::ExitCode;

use plimsoll_gateway::plan::PlanError;
use plimsoll_gateway::settings::SettingsError;

/// How the program ends. The numbers are a promise to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything is fine.
    Fine,
    /// The thing that was asked about is bad: a leak was found, a chain is broken.
    Bad,
    /// It could not be done.
    CouldNot,
    /// There is not enough evidence to say.
    Undecided,
    /// The command line, the environment or the settings file is wrong.
    Usage,
    /// What a program that was run for the user ended with, as a shell says it: its own code, 128 and the number of
    /// the signal, 126 if it could not be run, 127 if there is none of that name.
    OfProgram(u8),
}

impl Exit {
    const ALL: [Exit; 5] = [Exit::Fine, Exit::Bad, Exit::CouldNot, Exit::Undecided, Exit::Usage];

    /// The number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Exit::Fine => 0,
            Exit::Bad => 1,
            Exit::CouldNot => 2,
            Exit::Undecided => 3,
            Exit::Usage => 64,
            Exit::OfProgram(code) => code,
        }
    }

    /// What the code means, in a few words.
    const fn meaning(self) -> &'static str {
        match self {
            Exit::Fine => "fine",
            Exit::Bad => "the thing asked about is bad",
            Exit::CouldNot => "it could not be done",
            Exit::Undecided => "undecided",
            Exit::Usage => "wrong usage or a wrong setting, wherever it was set",
            Exit::OfProgram(_) => "what the program ended with",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// The codes as they stand in the help.
pub(crate) fn help() -> String {
    let mut text = String::from("Exit codes:");
    for exit in Exit::ALL {
        text += &format!("\n  {:>2}  {}", exit.code(), exit.meaning());
    }
    text + "\n`plimsoll record` ends with the code of the program that it runs."
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

    /// A program could not be run: 126 or 127, as a shell says it.
    pub(crate) fn of_program(code: u8, message: impl Into<String>) -> Failure {
        Failure { exit: Exit::OfProgram(code), message: message.into() }
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
