//! `plimsoll record`: runs a program with the profiler in front of its `malloc`, and writes what it found.
//!
//! The program is started, and otherwise left alone: its streams, its terminal, its signals and its exit code are what
//! they would be without us. All that it samples is in memory that it shares with us from its first instruction on, so
//! nothing is lost when it is killed; and the raw tables are in a file that is at most a second old, so little is lost
//! when we are.
//!
//! | file | idea |
//! | --- | --- |
//! | `program`, `script`, `elf`, `privilege` | which file is run, and whether it can be profiled |
//! | `sample`, `child` | its environment; how it is started and waited for |
//! | `signals` | those that we get are events, and mostly the program's |
//! | `watch` | the time in which it runs |
//! | `kept`, `file` | what is written when, and where |
//! | `finish`, `summary` | names, the profile, the last words |
//! | `progress` | what is said meanwhile |

mod child;
mod elf;
mod file;
mod finish;
mod kept;
mod privilege;
mod program;
mod progress;
mod sample;
mod script;
mod signals;
mod summary;
mod watch;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Verb;
use crate::exit::{Exit, Failure};
use crate::keeper::images::{IMAGES_MAX, Images};
use crate::keeper::library::LIBRARY;
use crate::keeper::named::Moment;
use crate::keeper::place::Place;
use crate::keeper::post::Post;
use child::{Additions, Child, wants_python_malloc};
use file::Output;
use kept::Kept;
use program::Program;
use progress::Progress;
use sample::Sample;
use signals::Signals;
use watch::Watch;

/// The verb.
pub(crate) const VERB: Verb = Verb { name: "record", command, run };

/// What we have open besides two descriptors for each process: the socket and its callers, files, signals.
const DESCRIPTORS_BESIDES: u64 = 128;

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
    if LIBRARY.is_empty() {
        return Err(Failure::could_not(
            "this plimsoll was built without the library that it would put before the program: only that for \
             x86-64 Linux with glibc has it",
        ));
    }
    let mut output = Output::open(asked, &program.name)?;
    let place = Place::open()?;
    let preload = place.unpack(LIBRARY)?;
    let post = Post::open(&place)?;
    let python_malloc = wants_python_malloc(&program, matches.get_flag("keep-pymalloc"));
    if python_malloc {
        progress.say(
            "PYTHONMALLOC=malloc is set, so that each of Python's objects is seen; it is slower, and --keep-pymalloc \
             leaves it out",
        );
    }
    let signals = Signals::block()?;
    let additions = Additions { preload: &preload, socket: post.path(), sample, python_malloc };
    let child = Child::start(&program, &command, &additions, signals.before())?;
    output.started(asked, &program.name, child.pid());
    let what = format!("{} (pid {})", program.name, child.pid());
    progress.say(&format!("recording {what}, {}, to {}", sample.in_words(), shown(output.path())));
    let mut images = Images::new(room_for_images());
    let mut kept = Kept::new(output);
    let exit = Watch::new(&post, &signals, &child)?.run(&mut images, &mut kept, &mut progress)?;
    // From here on nobody is listened to, so nobody should call.
    drop(post);
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

/// For how many processes there are descriptors, when the limit is raised as far as it may be. To be called when the
/// program runs: it has the limit that we got.
fn room_for_images() -> usize {
    let wanted = IMAGES_MAX as u64 * 2 + DESCRIPTORS_BESIDES;
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    let raised = limit.maximum.unwrap_or(u64::MAX).min(wanted);
    let have = if current < raised
        && setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum }).is_ok()
    {
        raised
    } else {
        current
    };
    usize::try_from(have.saturating_sub(DESCRIPTORS_BESIDES) / 2).unwrap_or(IMAGES_MAX)
}

fn shown(path: &Path) -> String {
    if path.as_os_str() == "-" { "standard output".to_owned() } else { path.display().to_string() }
}
