//! The two ways out: data to standard output, talk to standard error.
//!
//! `println!` panics when the reader has gone, and `plimsoll config | head -1` is no reason to panic: a
//! reader that has enough is a success. A full disk is not, and it is said.

use std::io::{self, ErrorKind, Write};

use crate::exit::Failure;

/// Writes data to standard output, whole.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::could_not(format!("cannot write to standard output: {error}"))),
    }
}

/// Says something to the user in one line. What it quotes may come from a stranger, so control characters are
/// made visible. That standard error is closed is nothing that could be said anywhere.
pub(crate) fn talk(message: &str) {
    let mut line = String::from("plimsoll: ");
    for c in message.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

/// Writes a help text to standard error, for a command line that is not complete.
pub(crate) fn talk_at_length(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
