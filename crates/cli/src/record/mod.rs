//! `plimsoll record`: runs a program with the profiler in front of its `malloc`, and writes what it found.
//!
//! What runs, and how, is the concern of [`crate::session`]. Here the raw tables are kept in a file that is at most a
//! second old, so that little is lost when we are killed, and names are found at the end.
//!
//! | file | idea |
//! | --- | --- |
//! | `recording` | what is done while the program runs |
//! | `kept`, `file` | what is written when, and where |
//! | `finish`, `summary` | names, the profile, the last words |
//! | `progress` | what is said meanwhile |

mod file;
mod finish;
mod kept;
mod progress;
mod recording;
mod summary;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::Verb;
use crate::exit::{Exit, Failure};
use crate::keeper::images::Images;
use crate::keeper::named::Moment;
use crate::session::child;
use crate::session::events::Events;
use crate::session::program::{self, Program};
use crate::session::sample::Sample;
use crate::session::signals::Signals;
use crate::session::stage::{Looks, PYTHON_NOTE, Stage, room_for_images};
use file::Output;
use kept::Kept;
use progress::Progress;
use recording::Recording;

/// The verb.
pub(crate) const VERB: Verb = Verb { name: "record", command, run };

/// The unit of ages in a profile: enough for a verdict over some minutes.
const EPOCH: Duration = Duration::from_secs(1);

fn command(command: Command) -> Command {
    let switch = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    command
        .about("Run a program and write what its heap consists of")
        .long_about(
            "Run a program with the profiler in front of its malloc, and write what its heap consists of.\n\n\
             The program need not be rebuilt. It has this command's standard streams, terminal and process group. \
             The code is the program's own, or 128 and the number of the signal that ended it; 126 if it cannot be \
             run, 127 if there is none; 2 if it cannot be profiled or the profile not be written.\n\n\
             SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR1 and SIGUSR2 are passed on to the program when they are sent to \
             this command. Each process that the program starts has a file of its own, with its pid in the name.",
        )
        .arg(
            Arg::new("output")
                .short('o')
                .long("output")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Where the profile goes [default: plimsoll.PROGRAM.PID.json]; .gz packs it, - is standard output"),
        )
        .arg(
            Arg::new("sample")
                .long("sample")
                .value_name("SIZE|all|adaptive")
                .value_parser(|text: &str| text.parse::<Sample>())
                .default_value("adaptive")
                .help("One sample in how many bytes, every allocation, or as often as costs little"),
        )
        .arg(switch("at-end").help(
            "Write the heap of the very end. Without, if the program took down what it held before it ended, the heap at \
             its largest is written",
        ))
        .arg(switch("keep-pymalloc").help("Leave Python its own allocator, which hides most of its objects"))
        .arg(switch("anyway").help("Run a program that cannot be profiled, without a profile"))
        .arg(switch("quiet").short('q').help("Say nothing but errors"))
        .arg(
            Arg::new("command")
                .value_name("CMD")
                .value_parser(value_parser!(OsString))
                .num_args(1..)
                .required(true)
                .trailing_var_arg(true)
                .help("The program and its arguments"),
        )
}

fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let command: Vec<OsString> = matches.get_many("command").into_iter().flatten().cloned().collect();
    let Some(first) = command.first() else { return Err(Failure::usage("no program was given")) };
    let asked = matches.get_one::<PathBuf>("output").map(PathBuf::as_path);
    let sample = matches.get_one::<Sample>("sample").copied().unwrap_or(Sample::Adaptive);
    let mut progress = Progress::new(matches.get_flag("quiet"), Instant::now());

    let program = program::find(first, std::env::var_os("PATH").as_deref())?;
    if let Some(hindrance) = &program.hindrance {
        if !matches.get_flag("anyway") {
            return Err(Failure::could_not(format!("{hindrance}; --anyway runs it without a profile")));
        }
        progress.say(&format!("{hindrance}; it runs without a profile"));
        return Err(become_it(&program, &command));
    }
    let mut output = Output::open(asked, &program.name)?;
    let stage = Stage::open()?;
    let signals = Signals::block()?;
    let looks = Looks {
        sample,
        epoch: EPOCH,
        keep_pymalloc: matches.get_flag("keep-pymalloc"),
        output: child::Output::Ours,
    };
    let (child, python_malloc) = stage.start(&program, &command, &looks, signals.before())?;
    if python_malloc {
        progress.say(PYTHON_NOTE);
    }
    output.started(asked, &program.name, child.pid());
    let what = format!("{} (pid {})", program.name, child.pid());
    progress.say(&format!("recording {what}, {}, to {}", sample.in_words(), shown(output.path())));
    let mut images = Images::new(room_for_images());
    let mut recording = Recording::new(Kept::new(output), &mut progress);
    Events::new(stage.post(), &signals, &child)?.run(&mut images, &mut recording)?;
    let (kept, exit) = recording.end();
    let place = stage.close();
    progress.erase();
    let moment = if matches.get_flag("at-end") { Moment::End } else { Moment::of(exit) };
    let report = finish::finish(images, kept, &signals, place.directory(), moment);
    summary::tell(&report, &what, exit, &mut progress)
}

/// Becomes the program, which needs nobody beside it.
fn become_it(program: &Program, command: &[OsString]) -> Failure {
    let (file, arguments) = program.line(command);
    let mut words = arguments.into_iter();
    let mut process = std::process::Command::new(file);
    if let Some(name) = words.next() {
        process.arg0(name);
    }
    let error = process.args(words).exec();
    Failure::of_program(126, format!("{} was not started: {error}", file.display()))
}

fn shown(path: &Path) -> String {
    if path.as_os_str() == "-" { "standard output".to_owned() } else { path.display().to_string() }
}
