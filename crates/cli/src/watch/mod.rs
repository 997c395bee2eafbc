//! `plimsoll watch`: looks at a program for a while, and says whether it leaks, and where.
//!
//! ```text
//! -- CMD   started under the profiler ──► a series for each process ─┐
//! PID      the tables that a recorder has, or resident memory alone ─┼─► judge ──► verdict
//! URL      a profile for each reading ───────────────────────────────┘
//! ```
//!
//! | file | idea |
//! | --- | --- |
//! | `plan` | how long, how often, how densely |
//! | `subject`, `crowd` | what was read of one process, of all of them |
//! | `command` | a program that is started for it |
//! | `attached` | a process that runs already |
//! | `service`, `client` | a service that hands out its heap |
//! | `wait` | for the next reading of those two |
//! | `memory` | how much is resident |
//! | `progress` | what is said meanwhile |
//! | `answer` | names, the verdict, the files that were asked for |

mod answer;
mod attached;
mod client;
mod command;
mod crowd;
mod memory;
mod plan;
mod progress;
mod service;
mod subject;
mod wait;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use plimsoll_core::Bytes;
use plimsoll_verdict::judge::{Options, Target};

use crate::Verb;
use crate::exit::{Exit, Failure};
use crate::keeper::images::Images;
use crate::session::child::{Child, Output};
use crate::session::events::Events;
use crate::session::program;
use crate::session::sample::Sample;
use crate::session::signals::Signals;
use crate::session::stage::{Looks, PYTHON_NOTE, Stage, room_for_images};
use answer::{Form, Seen, answer};
use command::{Afterwards, Watching};
use crowd::Crowd;
use plan::Plan;
use progress::{Others, Progress};

/// The verb.
pub(crate) const VERB: Verb = Verb { name: "watch", command, run };

/// More than this is a mistake: a year.
const DURATION_MAX: Duration = Duration::from_secs(366 * 86_400);

fn command(command: Command) -> Command {
    let switch = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    let file = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("FILE").value_parser(value_parser!(PathBuf)).help(help)
    };
    command
        .about("Watch a program for a while and say whether it leaks, and where")
        .long_about(
            "Watch a program for a while and say whether it leaks, and where.\n\n\
             What is watched is a command that is started for it (after --), a process by its number, or a service by \
             its address. The code is 0 if nothing leaks, 1 if something does, 2 if it could not be watched, and 3 if \
             what was seen does not decide it.\n\n\
             A process that was not started under the profiler is judged by its resident memory alone, which is weaker \
             and names no line.",
        )
        .arg(
            Arg::new("duration")
                .long("duration")
                .value_name("TIME")
                .value_parser(time)
                .default_value("10m")
                .help("For how long; Ctrl-C judges what was seen until then"),
        )
        .arg(
            Arg::new("interval")
                .long("interval")
                .value_name("TIME")
                .value_parser(time)
                .help("How often something is shown [default: a tenth of the duration, at most 60s]"),
        )
        .arg(
            Arg::new("threshold")
                .long("threshold")
                .value_name("SIZE")
                .value_parser(|text: &str| text.parse::<Bytes>().map_err(|error| error.to_string()))
                .default_value("10MiB")
                .help("Also report what grew by more than this, which is no verdict"),
        )
        .arg(
            Arg::new("sample")
                .long("sample")
                .value_name("SIZE|all|adaptive")
                .value_parser(|text: &str| text.parse::<Sample>())
                .help("One sample in how many bytes, every allocation, or as often as costs little [default: by the duration]"),
        )
        .arg(switch("json").help("Write the verdict as JSON; what the program prints goes to standard error"))
        .arg(file("report", "Also write the verdict as a page (HTML)"))
        .arg(file("series", "Also write all readings, so that they can be judged again (JSON, packed)"))
        .arg(file(
            "known",
            "Read declared bounds and suppressions from here (TOML) [default: plimsoll.toml, if it is here]",
        ))
        .arg(file(
            "lifetimes",
            "Remember here how long objects live, so that what lives long is not accused in each run",
        ))
        .arg(switch("leave-running").help("Do not end the program at the end"))
        .arg(switch("keep-pymalloc").help("Leave Python its own allocator, which hides most of its objects"))
        .arg(
            Arg::new("target")
                .value_name("PID|URL")
                .help("A process, or the address of a service, such as http://localhost:8080")
                .required_unless_present("command")
                .conflicts_with("command"),
        )
        .arg(
            Arg::new("command")
                .value_name("CMD")
                .value_parser(value_parser!(OsString))
                .num_args(1..)
                .last(true)
                .help("A program and its arguments, after --"),
        )
}

fn time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time > DURATION_MAX => Err("it is longer than a year".to_owned()),
        Ok(time) if time.is_zero() => Err("nothing is seen in no time".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(format!("{error}; a time is written as 90s or 10m")),
    }
}

fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let time = |name| matches.get_one::<Duration>(name).copied();
    let plan = Plan::new(time("duration").unwrap_or(Duration::from_secs(600)), time("interval"));
    let threshold = matches.get_one::<Bytes>("threshold").copied();
    let path = |name| matches.get_one::<PathBuf>(name).cloned();
    let mut form = Form {
        json: matches.get_flag("json"),
        options: Options {
            threshold: threshold.unwrap_or(Options::default().threshold),
            ..Options::default()
        },
        known: crate::known::load(path("known").as_deref())?,
        report: path("report"),
        series: path("series"),
        lifetimes: path("lifetimes"),
    };
    form.prepare()?;
    let command: Option<Vec<OsString>> = matches.get_many("command").map(|words| words.cloned().collect());
    let others = match (&command, form.json) {
        (None, _) => Others::Nobody,
        (Some(_), false) => Others::OnOutput,
        (Some(_), true) => Others::OnError,
    };
    let mut progress = Progress::new(plan.interval, others, Instant::now());
    let seen = match command {
        Some(command) => watch_command(matches, &command, &plan, &form, &mut progress)?,
        None => {
            let target = matches.get_one::<String>("target").map(String::as_str).unwrap_or_default();
            match target.parse::<i32>() {
                Ok(pid) if pid > 0 => attached::watch(pid, &plan, &mut progress)?,
                _ if target.contains("://") => service::watch(target, &plan, &mut progress)?,
                _ => {
                    return Err(Failure::usage(format!(
                        "`{target}` is neither the number of a process nor an address with http://; a command stands \
                         after --"
                    )));
                }
            }
        }
    };
    answer(seen, progress.end(), &form)
}

fn watch_command(
    matches: &ArgMatches,
    command: &[OsString],
    plan: &Plan,
    form: &Form,
    progress: &mut Progress,
) -> Result<Seen, Failure> {
    let could_not = |failure: Failure| Failure::could_not(failure.message);
    let Some(first) = command.first() else { return Err(Failure::usage("no program was given")) };
    let program = program::find(first, std::env::var_os("PATH").as_deref()).map_err(could_not)?;
    let mut gaps = Vec::new();
    let looks = Looks {
        sample: matches.get_one::<Sample>("sample").copied().unwrap_or(plan.sample()),
        epoch: plan.epoch(),
        keep_pymalloc: matches.get_flag("keep-pymalloc"),
        output: if form.json { Output::Error } else { Output::Ours },
    };
    let stage = Stage::open()?;
    let signals = Signals::block()?;
    let child = match &program.hindrance {
        Some(hindrance) => {
            gaps.push(hindrance.to_string());
            progress.say(&format!("{hindrance}; it is judged by its resident memory alone, which is weaker"));
            Child::start(&program, command, None, signals.before(), looks.output).map_err(could_not)?
        }
        None => {
            let (child, python_malloc) =
                stage.start(&program, command, &looks, signals.before()).map_err(could_not)?;
            if python_malloc {
                progress.say(PYTHON_NOTE);
            }
            child
        }
    };
    let pid = child.pid();
    let name = command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    progress.say(&format!(
        "watching {} (pid {pid}) for {}, {}",
        program.name,
        humantime::format_duration(plan.duration),
        looks.sample.in_words()
    ));
    let mut images = Images::new(room_for_images());
    let afterwards =
        if matches.get_flag("leave-running") { Afterwards::LeaveRunning } else { Afterwards::End };
    let crowd = Crowd::new(&program.name, pid);
    let mut watching = Watching::new(crowd, *plan, afterwards, progress, Instant::now());
    Events::new(stage.post(), &signals, &child)?.run(&mut images, &mut watching)?;
    let Watching { crowd, exit, .. } = watching;
    signals.release();
    let ended = exit.filter(|(_, by_itself)| *by_itself).map(|(exit, _)| exit.code());
    if let Some(code) = ended {
        progress.say(&format!("{} ended by itself with {code}", program.name));
    }
    if crowd.left_out > 0 {
        gaps.push(format!(
            "{} processes were left out: {} are watched at a time",
            crowd.left_out,
            crowd::SUBJECTS_MAX
        ));
    }
    let target = Target { name, pid: Some(pid), exit_code: ended };
    Ok(Seen { subjects: crowd.into_subjects(), target, gaps })
}
