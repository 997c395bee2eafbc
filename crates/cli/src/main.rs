//! The command `plimsoll`: finds the verb, runs it, and turns its answer into an exit code.
//!
//! Standard output is data, standard error is talk, and the exit codes of [`exit`] are a contract that
//! scripts build on. No judgement is made here: a verb asks the crates below and says what they said.

mod config;
mod descriptors;
mod diff;
mod exit;
mod flags;
mod keeper;
mod known;
mod logs;
mod out;
mod profiler;
mod profiles;
mod record;
mod report;
mod serve;
mod session;
mod snapshot;
mod watch;

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use crate::exit::{Exit, Failure};

/// The allocator of the whole program. It samples nothing until a verb starts the profiler.
#[global_allocator]
static HEAP: plimsoll_heap::Heap = plimsoll_heap::Heap::system();

/// Every verb, in the order of the help. To add one, write its file and name it here.
const VERBS: &[Verb] =
    &[serve::VERB, watch::VERB, record::VERB, snapshot::VERB, report::VERB, diff::VERB, config::VERB];

/// One verb: how it is called, and what it does.
struct Verb {
    name: &'static str,
    /// Its arguments and its help.
    command: fn(Command) -> Command,
    run: fn(&ArgMatches) -> Result<Exit, Failure>,
}

fn main() -> ExitCode {
    let answer = match app().try_get_matches() {
        Ok(matches) => run(&matches),
        Err(error) => flags::answer(&error),
    };
    let exit = answer.unwrap_or_else(|failure| {
        out::talk(&failure.message);
        failure.exit
    });
    exit.into()
}

/// The whole command line.
fn app() -> Command {
    let app = Command::new("plimsoll")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Streams to any number of readers under a memory ceiling, and finds what grows.")
        .after_help(exit::help())
        .arg_required_else_help(true)
        .subcommand_required(true);
    app.subcommands(VERBS.iter().map(|verb| (verb.command)(Command::new(verb.name))))
}

fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let verb = matches.subcommand().and_then(|(name, inside)| {
        let verb = VERBS.iter().find(|verb| verb.name == name)?;
        Some((verb, inside))
    });
    match verb {
        Some((verb, inside)) => (verb.run)(inside),
        // The parser lets nothing else through.
        None => Err(Failure::usage("no verb was given; `plimsoll --help` lists them")),
    }
}

#[cfg(test)]
mod tests {
    /// The parser checks its own description only when it is asked to.
    #[test]
    fn the_command_line_is_described_without_contradictions() {
        super::app().debug_assert();
    }
}
