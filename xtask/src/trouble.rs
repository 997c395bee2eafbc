//! Why a verb came to no result: asked wrongly, or could not be done. A bad result is a result, not this.

use std::ffi::OsString;

use crate::shell::Failure;

/// What kept a verb from answering.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The command line was not understood; says which part.
    Usage(String),
    /// Something that was needed is not there; says what, and what to do.
    Undone(String),
}

/// The error of a verb that takes no arguments and was given some.
pub(crate) fn no_arguments(verb: &str, args: &[OsString]) -> Result<(), Trouble> {
    match args.first() {
        None => Ok(()),
        Some(first) => {
            Err(Trouble::Usage(format!("`{verb}` takes no arguments, and got `{}`", first.display())))
        }
    }
}

impl From<Trouble> for Failure {
    /// A step that could not be done has failed.
    fn from(trouble: Trouble) -> Failure {
        let (Trouble::Usage(what) | Trouble::Undone(what)) = trouble;
        Failure { command: None, what }
    }
}
