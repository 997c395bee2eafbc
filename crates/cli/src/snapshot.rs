//! `plimsoll snapshot`: the heap of a process that runs under a recorder, at this moment.
//!
//! The recorder has the process's tables mapped, and so can we: it hands them over, and the process itself is not
//! asked, stopped or slowed down.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use plimsoll_heap::image::Image;
use rustix::process::geteuid;

use crate::exit::{Exit, Failure};
use crate::keeper::named::{self, Namer};
use crate::keeper::replace::{part_of, replace};
use crate::keeper::{place, post};
use crate::{Verb, out};

/// The verb.
pub(crate) const VERB: Verb = Verb { name: "snapshot", command, run };

/// The status of a process is a page of text; this is many times as much.
const STATUS_MAX: u64 = 64 << 10;

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
    let owner = owner(pid)?;
    let image = find(pid, &owner)?;
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

/// Whose process it is.
struct Owner {
    uid: u32,
    /// Its number in each pid namespace that it is in, from ours inwards.
    pids: Vec<i32>,
}

fn owner(pid: i32) -> Result<Owner, Failure> {
    let mut status = String::new();
    let read = File::open(format!("/proc/{pid}/status"))
        .and_then(|file| file.take(STATUS_MAX).read_to_string(&mut status));
    let gone = || Failure::could_not(format!("there is no process {pid}: `ps` lists those that there are"));
    read.map_err(|_| gone())?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|line| {
            line.split_whitespace().filter_map(|word| word.parse::<i64>().ok()).collect::<Vec<_>>()
        })
    };
    let number = |number: i64| u32::try_from(number).ok();
    let uid = field("Uid").and_then(|uids| number(*uids.first()?)).ok_or_else(gone)?;
    let pids =
        field("NSpid").unwrap_or_default().into_iter().filter_map(|pid| i32::try_from(pid).ok()).collect();
    let ours = geteuid();
    if !ours.is_root() && ours.as_raw() != uid {
        return Err(Failure::could_not(format!(
            "process {pid} belongs to another user (uid {uid}): ask as that user, or as root"
        )));
    }
    Ok(Owner { uid, pids })
}

/// Asks each recorder that may have it: those of the process's user, and our own, which may have started a program
/// that became another user.
fn find(pid: i32, owner: &Owner) -> Result<Image, Failure> {
    let mut users = vec![owner.uid, geteuid().as_raw()];
    users.dedup();
    let mut unreadable = None;
    for user in users {
        for directory in place::candidates(user).iter().filter(|directory| place::is_of(directory, user)) {
            for socket in place::sockets(directory) {
                // One that does not answer is one that has it not: it may just be ending.
                let Ok(Some(tables)) = post::ask(&socket, pid) else { continue };
                match Image::map(&tables) {
                    Ok(image) if image.process().pid == pid || owner.pids.contains(&image.process().pid) => {
                        return Ok(image);
                    }
                    Ok(_) => {}
                    Err(error) => unreadable = Some(error),
                }
            }
        }
    }
    Err(Failure::could_not(match unreadable {
        Some(error) => format!(
            "the tables of process {pid} cannot be read ({error}): use the version of plimsoll that records it"
        ),
        None => format!(
            "process {pid} has no profiler: start it with `plimsoll record`; a service that runs on Plimsoll's own \
             allocator answers `GET /debug/pprof/heap`"
        ),
    }))
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
