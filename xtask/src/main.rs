//! The workshop: `cargo xtask VERB`. One file for each verb; this one only chooses.

#![allow(clippy::print_stdout, clippy::print_stderr)] // Printing is what a command line is for.

mod corpus;
mod group;
mod house;
mod install;
mod loom;
mod miri;
mod shell;
mod test;
mod tidy;
mod trouble;
mod under_limit;

use std::ffi::OsString;
use std::process::ExitCode;

use trouble::Trouble;

const USAGE: &str = "\
usage: cargo xtask VERB

  test [--only STEP] [--list]   everything that must hold before a commit, in order
  tidy [--bless]                the rules of the tree; --bless rewrites docs/limits.md
  corpus                        the judge on programs of which the truth is known
  loom                          the models of all interleavings
  miri                          the tests that are made for the interpreter
  under-limit [--seconds N] -- PROGRAM ARGS...
                                a program and what it starts under 4 GiB and 120 s";

/// Asked in a way that is not understood; the number every verb of Plimsoll uses for it.
const EXIT_USAGE: u8 = 64;
/// It could not be done, which is neither good nor bad news about the tree.
const EXIT_UNDONE: u8 = 2;

fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let verb = if args.is_empty() { OsString::new() } else { args.remove(0) };
    let ended = match verb.to_str().unwrap_or_default() {
        "test" => test::run(&args),
        "tidy" => tidy::run(&args),
        "corpus" => corpus::run(&args),
        "loom" => loom::run(&args),
        "miri" => miri::run(&args),
        "under-limit" => under_limit::run(&args),
        "" => Err(Trouble::Usage("no verb was given".to_owned())),
        other => Err(Trouble::Usage(format!("there is no verb `{other}`"))),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(Trouble::Usage(why)) => {
            eprintln!("xtask: {why}\n\n{USAGE}");
            ExitCode::from(EXIT_USAGE)
        }
        Err(Trouble::Undone(why)) => {
            eprintln!("xtask: {why}");
            ExitCode::from(EXIT_UNDONE)
        }
    }
}
