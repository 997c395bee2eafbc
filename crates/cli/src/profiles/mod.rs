//! What the verbs that look at profiles share: where one comes from, where its forms go, and the arguments for it.

mod open;
mod save;

use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, value_parser};
use plimsoll_verdict::Metric;

pub(crate) use open::open;
pub(crate) use save::save;

use crate::exit::Failure;

/// What is said for standard input.
pub(crate) const STDIN: &str = "-";

/// Rows of a table unless `--top` says otherwise: they fit a screen.
const TOP: &str = "20";

/// The argument `--top`.
pub(crate) fn top_arg() -> Arg {
    Arg::new("top")
        .long("top")
        .value_name("COUNT")
        .default_value(TOP)
        .value_parser(value_parser!(usize))
        .help("How many rows at most")
}

/// What [`top_arg`] was given.
pub(crate) fn top(matches: &ArgMatches) -> usize {
    matches.get_one("top").copied().unwrap_or_default()
}

/// The argument `--metric`.
pub(crate) fn metric_arg() -> Arg {
    let names = Metric::ALL.map(Metric::name).join(", ");
    Arg::new("metric")
        .long("metric")
        .value_name("METRIC")
        .default_value(Metric::default().name())
        .value_parser(metric_of)
        .help(format!("What counts: {names}"))
}

/// What [`metric_arg`] was given.
pub(crate) fn metric(matches: &ArgMatches) -> Metric {
    matches.get_one("metric").copied().unwrap_or_default()
}

/// A metric by its name; words may be joined as in other flags, with hyphens.
fn metric_of(text: &str) -> Result<Metric, String> {
    let names = || Metric::ALL.map(Metric::name).join(", ");
    Metric::of_name(&text.replace('-', "_")).ok_or_else(|| format!("there are {}", names()))
}

/// An argument that names a file to write.
pub(crate) fn file_arg(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    path_arg(name).long(name).value_name(value).help(help)
}

/// An argument that names a file.
pub(crate) fn path_arg(name: &'static str) -> Arg {
    Arg::new(name).value_parser(value_parser!(PathBuf))
}

/// What [`path_arg`] was given.
pub(crate) fn path<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a Path> {
    matches.get_one::<PathBuf>(name).map(PathBuf::as_path)
}

/// The texts of the program cannot fail to be written into memory.
pub(crate) fn in_memory<E: std::fmt::Display>(
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<String, Failure> {
    let mut text = Vec::new();
    write(&mut text).map_err(|error| Failure::could_not(error.to_string()))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
