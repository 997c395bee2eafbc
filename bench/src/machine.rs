//! On what it was measured: figures without it are nobody's.

use std::fs;

use crate::options::Options;

/// The machine, and what it was doing when measuring began.
pub(crate) fn describe(options: &Options) -> Vec<(&'static str, String)> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kind = if options.quick { " (quick: proves nothing)" } else { "" };
    vec![
        ("processor", format!("{}, {cores} cores", first_value("/proc/cpuinfo", "model name"))),
        ("system", first_line("/proc/version")),
        ("rounds", format!("{}{kind}", options.rounds)),
        ("load at the start", load()),
    ]
}

/// The load averages of this moment. Well over 1 in the first one before measuring begins means that
/// somebody else is at work.
pub(crate) fn load() -> String {
    first_line("/proc/loadavg")
}

fn first_line(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}

fn first_value(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, value)| value.trim()).to_owned()
}
