//! What is said while something is watched, without being in the program's way: it may have the same terminal.
//!
//! | standard error | who prints there besides | what is shown |
//! | --- | --- | --- |
//! | a terminal | nobody | some lines, written over at each interval |
//! | a terminal | the program | a line at each interval |
//! | none | | the first line and the last |
//!
//! What is shown of sites meanwhile is what the judge says of what was seen so far.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use plimsoll_core::Bytes;
use plimsoll_verdict::judge::{Known, Options, Row, judge};

use super::subject::{Subject, unix_ms};
use crate::keeper::named::Namer;
use crate::out;
use crate::session::terminal::is_free;

/// Rows that are kept for the report. When there are more, every second one goes.
const ROWS_MAX: usize = 1024;
/// Sites in a picture.
const SITES_MAX: usize = 5;
/// Characters of a line, for a line that is longer than the terminal cannot be written over.
const LINE_CHARS_MAX: usize = 78;
/// After a picture so many times as long passes as its names took to be found.
const NAMING_PART: u32 = 8;

/// Whether and how something is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    WrittenOver,
    Lines,
    Nothing,
}

/// Who has the terminal besides us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    /// Nobody that we know of.
    Nobody,
    /// The program prints to our standard output.
    OnOutput,
    /// The program prints to our standard error.
    OnError,
}

/// The talk of a watch, and its rows.
pub(crate) struct Progress {
    way: Way,
    interval: Duration,
    started: Instant,
    due: Instant,
    /// So many lines stand there that are to be written over.
    lines: usize,
    rows: Vec<Row>,
    namer: Option<Namer>,
}

impl Progress {
    pub(crate) fn new(interval: Duration, others: Others, now: Instant) -> Progress {
        let is_shared = match others {
            Others::Nobody => false,
            Others::OnOutput => io::stdout().is_terminal(),
            Others::OnError => true,
        };
        let way = match (io::stderr().is_terminal(), is_shared) {
            (false, _) => Way::Nothing,
            (true, true) => Way::Lines,
            (true, false) => Way::WrittenOver,
        };
        Progress { way, interval, started: now, due: now, lines: 0, rows: Vec::new(), namer: None }
    }

    /// Says a line.
    pub(crate) fn say(&mut self, message: &str) {
        self.erase();
        out::talk(message);
    }

    /// Notes how things stand, and shows it, if it is time to.
    pub(crate) fn show(&mut self, now: Instant, subjects: &[&Subject]) {
        if now < self.due {
            return;
        }
        self.due = now + self.interval;
        let running = || subjects.iter().filter(|subject| !subject.has_ended);
        let row = Row {
            at: now.saturating_duration_since(self.started),
            unix_ms: unix_ms(),
            resident: running().map(|subject| subject.resident).sum(),
            heap_live: running().map(|subject| subject.live).sum(),
            processes: running().count(),
        };
        self.rows.push(row);
        if self.rows.len() > ROWS_MAX {
            let mut nth = 0;
            self.rows.retain(|_| {
                nth += 1;
                nth % 2 == 1
            });
        }
        if self.way == Way::Nothing || !is_free() {
            // What stood there is gone with the screen that the program has taken.
            self.lines = 0;
            return;
        }
        let sites = self.growers(subjects);
        // Finding names may have taken long.
        let spent = now.elapsed();
        self.due = self.due.max(Instant::now() + spent * NAMING_PART);
        let head = head(&row);
        match self.way {
            Way::Lines => {
                let most = sites.first().map(|site| format!("; {site}")).unwrap_or_default();
                out::talk(&format!("{head}{most}"));
            }
            Way::WrittenOver => {
                let mut text = String::new();
                for line in std::iter::once(&head).chain(&sites) {
                    let line: String =
                        line.chars().filter(|c| !c.is_control()).take(LINE_CHARS_MAX).collect();
                    // Writing into a string cannot fail.
                    let _ = writeln!(text, "{line}\x1b[K");
                }
                self.erase();
                if io::stderr().lock().write_all(text.as_bytes()).is_ok() {
                    self.lines = 1 + sites.len();
                }
            }
            Way::Nothing => {}
        }
    }

    /// What grows most, by the judge's word on what was seen so far.
    fn growers(&mut self, subjects: &[&Subject]) -> Vec<String> {
        let namer = self.namer.get_or_insert_with(Namer::new);
        let mut all = Vec::new();
        for subject in subjects.iter().filter(|subject| !subject.has_ended) {
            let names = subject.named(namer);
            let verdict = judge(&subject.series, names.as_ref(), &Known::default(), &Options::default());
            all.extend(verdict.sites.into_iter().filter(|site| site.growth.bytes_per_s > 0.0));
        }
        all.sort_by(|a, b| b.growth.bytes_per_s.total_cmp(&a.growth.bytes_per_s));
        let line = |site: &plimsoll_verdict::judge::SiteVerdict| {
            let rate = Bytes::new(site.growth.bytes_per_s as u64);
            let place = site.line.map(|line| format!(":{line}")).unwrap_or_default();
            format!("{} +{rate}/s  {}{place}", site.state.name(), site.function)
        };
        all.iter().take(SITES_MAX).map(line).collect()
    }

    /// Takes the lines away.
    pub(crate) fn erase(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        if lines > 0 {
            let _ = io::stderr().lock().write_all(format!("\x1b[{lines}A\r\x1b[J").as_bytes());
        }
    }

    /// The rows.
    pub(crate) fn end(mut self) -> Vec<Row> {
        self.erase();
        self.rows
    }
}

fn head(row: &Row) -> String {
    let live = if row.heap_live.is_zero() { String::new() } else { format!(", {} live", row.heap_live) };
    let processes =
        if row.processes > 1 { format!(" in {} processes", row.processes) } else { String::new() };
    format!("{} s: {} resident{live}{processes}", row.at.as_secs(), row.resident)
}
