//! `plimsoll snapshot`: the heap of a process that runs under a recorder, at this moment.
//!
//! The recorder has the process's tables mapped, and so can we: it hands them over, and the process itself is not
//! asked, stopped or slowed down.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::exit::{Exit, Failure};
use crate::keeper::ask;
use crate::keeper::named::{self, Namer};
use crate::keeper::replace::{part_of, replace};
use crate::{Verb, out};

/// The verb.
pub(crate) const VERB: Verb = Verb { name: "snapshot", command, run };

fn command(command: Command) -> Command {
    command
        .about("Write the heap of a process that is being recorded")
        .long_about(
            "Write the heap of a process that is being recorded, at this moment. It goes on undisturbed.\n\n\
             The process must have been started by `plimsoll record`, or by a program that was.",
        )
        .arg(Arg::new("pid").value_name("PID").required(true).help("The process"))
        .arg(
            Arg::new("output")
                .short('o')
                .long("output")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Where it goes [default: plimsoll.PROGRAM.PID.<unix time>.json]; .gz packs it"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .conflicts_with("output")
                .help("Write it to standard output"),
        )
}

fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let text = matches.get_one::<String>("pid").map(String::as_str).unwrap_or_default();
    let pid = match text.parse::<i32>() {
        Ok(pid) if pid > 0 => pid,
        _ => return Err(Failure::usage(format!("`{text}` is no number of a process; `ps` lists them"))),
    };
    let owner = ask::owner(pid)?;
    let Some(image) = ask::find(pid, &owner)? else {
        return Err(Failure::could_not(format!(
            "process {pid} has no profiler: start it with `plimsoll record`; a service that runs on Plimsoll's own \
             allocator answers `GET /debug/pprof/heap`"
        )));
    };
    let process = image.process();
    let profile = Namer::new().profile(&image.snapshot(), &process);
    if matches.get_flag("json") {
        return print(&profile);
    }
    let path = match matches.get_one::<PathBuf>("output") {
        Some(path) => path.clone(),
        None => {
            let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            PathBuf::from(format!("plimsoll.{}.{pid}.{seconds}.json", named::file_word(&process.program)))
        }
    };
    save(&path, &profile).map_err(|error| {
        let shown = path.display();
        Failure::could_not(format!(
            "the profile cannot be written to {shown}: {error}; name another file with -o"
        ))
    })?;
    let live = plimsoll_core::Bytes::new(profile.live().bytes);
    out::talk(&format!("{live} live in process {pid}, written to {}", path.display()));
    Ok(Exit::Fine)
}

fn save(path: &Path, profile: &plimsoll_verdict::Profile) -> io::Result<()> {
    let gzip = named::is_gzip(path);
    match fs::metadata(path) {
        Ok(meta) if !meta.is_file() => {
            named::write(profile, gzip, &mut fs::OpenOptions::new().write(true).open(path)?)
        }
        _ => {
            // A link stays, and what it leads to is replaced.
            let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            replace(&path, &part_of(&path), |out| named::write(profile, gzip, out))
        }
    }
}

fn print(profile: &plimsoll_verdict::Profile) -> Result<Exit, Failure> {
    match named::write(profile, false, &mut io::stdout().lock()) {
        Ok(()) => Ok(Exit::Fine),
        // Who has read enough, has enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Exit::Fine),
        Err(error) => Err(Failure::could_not(format!("cannot write to standard output: {error}"))),
    }
}
