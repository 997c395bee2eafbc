//! `plimsoll report`: one profile, as a table, a picture, a page or another tool's file.

use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};
use plimsoll_verdict::flamegraph::{self, FlamegraphOptions};
use plimsoll_verdict::html::{self, HtmlOptions};
use plimsoll_verdict::report::{self, ReportOptions};
use plimsoll_verdict::text::{self, TextOptions};
use plimsoll_verdict::{Metric, Profile, collapsed, pprof};

use crate::exit::{Exit, Failure};
use crate::profiles::{file_arg, in_memory, metric, metric_arg, open, path, path_arg, save, top, top_arg};
use crate::{Verb, out};

/// The verb.
pub(crate) const VERB: Verb = Verb { name: "report", command, run };

/// Callers below each row of the table: enough to tell the ways to a line apart, and twenty rows still fit.
const CALLERS: usize = 4;

/// The options that name a file to write.
const FILES: [&str; 4] = ["flamegraph", "pprof", "html", "collapsed"];

fn command(command: Command) -> Command {
    command
        .about("Show which lines of a program hold its memory")
        .long_about(
            "Show which lines of a program hold its memory.\n\n\
             Reads a heap profile (plimsoll's own JSON, or pprof of any tool, in gzip or not) and prints a table: a row \
             for each line of the program and the function through which it allocates. Files that are asked for are \
             written beside it; one that is there is replaced when the new one is whole.",
        )
        .arg(path_arg("file").value_name("FILE").required(true).help("The profile; - is standard input"))
        .arg(file_arg("flamegraph", "OUT.svg", "Draw a flamegraph of the metric"))
        .arg(file_arg("pprof", "OUT.pb.gz", "Write pprof, for `go tool pprof` and others"))
        .arg(file_arg("html", "OUT.html", "Write one page with table, stacks and flamegraph, for any browser"))
        .arg(file_arg("collapsed", "OUT.txt", "Write collapsed stacks of the metric, one a line"))
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print the top rows as JSON (plimsoll.report/1) instead of the table"),
        )
        .arg(top_arg())
        .arg(metric_arg())
}

fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    for (at, one) in FILES.iter().enumerate() {
        if let Some(other) = FILES[..at]
            .iter()
            .find(|other| path(matches, other).is_some() && path(matches, other) == path(matches, one))
        {
            return Err(Failure::usage(format!("--{other} and --{one} name the same file")));
        }
    }
    let (metric, top) = (metric(matches), top(matches));
    let profile = open(path(matches, "file").unwrap_or(Path::new("")))?;
    profile.require(metric).map_err(|error| Failure::could_not(error.to_string()))?;
    for name in FILES {
        if let Some(path) = path(matches, name) {
            write(name, path, &profile, metric)?;
        }
    }
    out::print(&if matches.get_flag("json") {
        in_memory(|out| report::write(&profile, &ReportOptions { top, metric }, out))?
    } else {
        in_memory(|out| text::write(&profile, &TextOptions { top, metric, callers: CALLERS }, out))?
    })?;
    Ok(Exit::Fine)
}

/// Writes one of [`FILES`].
fn write(name: &str, path: &Path, profile: &Profile, metric: Metric) -> Result<(), Failure> {
    match name {
        "flamegraph" => {
            let options = FlamegraphOptions { metric, ..FlamegraphOptions::default() };
            save(path, &|out| flamegraph::write(profile, &options, out))
        }
        "pprof" => save(path, &|out| pprof::write(profile, out)),
        "html" => {
            let options = HtmlOptions { metric, ..HtmlOptions::default() };
            save(path, &|out| html::write(profile, &options, out))
        }
        _ => save(path, &|out| collapsed::write(profile, metric, out)),
    }
}
