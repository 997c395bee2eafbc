//! `plimsoll diff`: what grew from one profile to another, and whether by too much.

use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};
use plimsoll_core::Bytes;
use plimsoll_verdict::html::{self, HtmlOptions};
use plimsoll_verdict::{DiffOptions, Level, Metric, Profile, diff, over_threshold};

use crate::exit::{Exit, Failure};
use crate::profiles::{
    STDIN, file_arg, in_memory, metric, metric_arg, open, path, path_arg, save, top, top_arg,
};
use crate::{Verb, out};

/// The verb.
pub(crate) const VERB: Verb = Verb { name: "diff", command, run };

const LEVELS: [Level; 3] = [Level::Stack, Level::Own, Level::Leaf];

fn command(command: Command) -> Command {
    let profile = |name: &'static str, help: &'static str| {
        path_arg(name).value_name(name.to_ascii_uppercase()).required(true).help(help)
    };
    command
        .about("Show what grew between two profiles")
        .long_about(
            "Show what grew between two profiles.\n\n\
             Places are matched by function and file, so the profiles may be of two runs, two builds or two \
             machines. The code is 0, also when something grew; with --threshold it is 1 when live bytes of any \
             entry grew by more than that.",
        )
        .arg(profile("a", "The earlier profile; - is standard input"))
        .arg(profile("b", "The later profile; - is standard input"))
        .arg(
            Arg::new("threshold")
                .long("threshold")
                .value_name("SIZE")
                .value_parser(|text: &str| text.parse::<Bytes>().map_err(|error| error.to_string()))
                .help("End with code 1 if an entry's live bytes grew by more than this, such as 10MiB"),
        )
        .arg(
            Arg::new("level")
                .long("level")
                .value_name("LEVEL")
                .default_value(Level::default().name())
                .value_parser(level_of)
                .help("What an entry is: stack (the whole), own (the program's line), leaf (who asked the allocator)"),
        )
        .arg(file_arg("html", "OUT.html", "Write the comparison as one page for any browser"))
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print the top rows as JSON (plimsoll.heap_diff/1) instead of the table"),
        )
        .arg(top_arg())
        .arg(metric_arg())
}

fn level_of(text: &str) -> Result<Level, String> {
    let found = LEVELS.into_iter().find(|level| level.name() == text);
    found.ok_or_else(|| format!("there are {}", LEVELS.map(Level::name).join(", ")))
}

fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let [a, b] = ["a", "b"].map(|name| path(matches, name).unwrap_or(Path::new("")));
    if a == b && a.as_os_str() == STDIN {
        return Err(Failure::usage("standard input holds one profile; give a file for the other"));
    }
    let options = DiffOptions {
        metric: metric(matches),
        level: matches.get_one::<Level>("level").copied().unwrap_or_default(),
    };
    let (before, after) = (read(a, options.metric)?, read(b, options.metric)?);
    let compared = diff(&before, &after, &options);
    if let Some(path) = path(matches, "html") {
        let page = HtmlOptions { metric: options.metric, ..HtmlOptions::default() };
        save(path, &|out| html::write_diff(&compared, &page, out))?;
    }
    let top = top(matches);
    out::print(&if matches.get_flag("json") {
        in_memory(|out| compared.write_json(top, out))?
    } else {
        in_memory(|out| compared.write_text(top, out))?
    })?;
    let Some(&threshold) = matches.get_one::<Bytes>("threshold") else { return Ok(Exit::Fine) };
    let grown = match over_threshold(&compared, threshold).len() {
        0 => return Ok(Exit::Fine),
        1 => "one entry".to_owned(),
        count => format!("{count} entries"),
    };
    Err(Failure { exit: Exit::Bad, message: format!("{grown} grew by more than {threshold} of live bytes") })
}

/// A profile that has `metric`.
fn read(path: &Path, metric: Metric) -> Result<Profile, Failure> {
    let profile = open(path)?;
    profile.require(metric).map_err(|error| Failure::could_not(format!("{}: {error}", path.display())))?;
    Ok(profile)
}
