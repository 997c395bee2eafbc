//! The last words: what was recorded, where it is, what is missing in it, and what to do next.

use std::path::Path;

use super::finish::{Main, Report};
use super::kept::Entry;
use super::progress::Progress;
use crate::exit::{Exit, Failure};

/// How many other processes are listed; the rest is counted.
const LISTED_MAX: usize = 8;

/// Says what became of a recording, and returns the code to end with: the program's, unless its profile is not where it
/// was to be.
pub(crate) fn tell(
    report: &Report,
    program: &str,
    exit: Exit,
    progress: &mut Progress,
) -> Result<Exit, Failure> {
    progress.erase();
    let answer = match &report.main {
        Main::None => {
            progress.say(&format!(
                "nothing was recorded of {program}: it never loaded the profiler, and FILE has a profile of nothing; was \
                 it killed at once, does it clear LD_PRELOAD, or run in a sandbox?"
            ));
            Ok(exit)
        }
        Main::Written(entry) => {
            let names = if entry.is_raw { ", names not looked up" } else { "" };
            progress.say(&format!("{}: {}{names}: {}", program, amounts(entry), entry.file.display()));
            doubts(entry, progress);
            Ok(exit)
        }
        Main::Elsewhere(entry, error) => Err(Failure::could_not(format!(
            "the profile could not be written to FILE ({error}) and is in {} instead; the program ended with {}",
            entry.file.display(),
            exit.code()
        ))),
        Main::Lost(error) => Err(Failure::could_not(format!(
            "the profile could not be written ({error}), neither to FILE nor anywhere else; the program ended with {}",
            exit.code()
        ))),
    };
    others(report, progress);
    missing(report, progress);
    if let Main::Written(entry) | Main::Elsewhere(entry, _) = &report.main {
        progress.say(&format!("next: plimsoll report {}", quoted(&entry.file)));
    }
    answer
}

/// What makes a profile less than it looks.
fn doubts(entry: &Entry, progress: &mut Progress) {
    if !entry.note.is_empty() {
        progress.say(&format!("  {}", entry.note));
    }
    if entry.samples == 0 {
        progress.say(
            "  no sample: it asked malloc for too little at this interval (--sample all takes each), or brings an \
             allocator of its own within it",
        );
    }
}

fn amounts(entry: &Entry) -> String {
    let peak =
        entry.peak.map(|peak| format!(", {peak} at its largest, which the file has")).unwrap_or_default();
    format!("{} samples, {} live at the end{peak}", entry.samples, entry.live)
}

fn others(report: &Report, progress: &mut Progress) {
    for entry in report.others.iter().take(LISTED_MAX) {
        let name = Path::new(&entry.program).file_name().unwrap_or_default().display().to_string();
        progress.say(&format!("  {name} (pid {}): {}: {}", entry.pid, amounts(entry), entry.file.display()));
    }
    let more = report.others.len().saturating_sub(LISTED_MAX);
    if more > 0 {
        progress.say(&format!("  and {more} more processes, each with a file beside FILE"));
    }
}

/// Everything that was left out, each with its number.
fn missing(report: &Report, progress: &mut Progress) {
    let unnamed = report.others.iter().filter(|entry| entry.is_raw).count();
    if report.is_interrupted {
        progress
            .say("interrupted while names were looked up: `plimsoll report` does that for the files without");
    } else if unnamed > 0 {
        progress.say(&format!("{unnamed} files have no names yet: `plimsoll report` looks them up"));
    }
    if report.running > 0 {
        progress.say(&format!(
            "{} processes go on and are no longer followed; their files end here",
            report.running
        ));
    }
    if report.without_samples > 0 {
        progress.say(&format!("{} processes took no sample and have no file", report.without_samples));
    }
    if report.without_file > 0 {
        progress.say(&format!(
            "{} processes have no file: there is a limit of 256, or no room",
            report.without_file
        ));
    }
    if let Some((count, error)) = &report.failed {
        progress.say(&format!("writing a file failed {count} times, the first time with: {error}"));
    }
    let refused: u64 = report.refused.iter().map(|(_, count)| count).sum();
    if refused > 0 {
        let kinds: Vec<String> =
            report.refused.iter().map(|(why, count)| format!("{why}: {count}")).collect();
        progress.say(&format!("{refused} callers were refused ({})", kinds.join(", ")));
    }
}

/// A path as it can be pasted into a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._+-:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
