//! What grew between two profiles, also between two builds, two runs and two machines.
//!
//! Addresses mean nothing outside their process, so places are matched by what they are called: the function's
//! name and the name of its file. Not by the line, which moves with every edit above it, and not by the file's
//! folder, which moves with the checkout. What is compared is [`Level`]: whole stacks, the program's own line, or
//! the function that asked the allocator.

mod json;
mod names;
mod text;

use std::collections::BTreeMap;

use plimsoll_core::Bytes;
use plimsoll_core::heap::Amount;

use crate::metric::Metric;
use crate::profile::Profile;
use names::{Key, Keys};

/// What makes two allocations one entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// The whole stack. Splits what grew among all ways that lead there.
    Stack,
    /// The first frame that is the program's own: see [`crate::profile::Frames::own`].
    #[default]
    Own,
    /// The function that asked the allocator: see [`crate::profile::Frames::leaf`].
    Leaf,
}

impl Level {
    /// Its name in JSON and at the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Stack => "stack",
            Level::Own => "own",
            Level::Leaf => "leaf",
        }
    }
}

/// How profiles are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiffOptions {
    /// By whose growth entries are sorted.
    pub metric: Metric,
    /// What makes two allocations one entry.
    pub level: Level,
}

/// What one profile has of an entry. Amounts are as of that profile, in objects and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// What lived.
    pub live: Amount,
    /// What had been allocated since the start.
    pub allocated: Amount,
    /// How many samples `live` was estimated from; 0 if the profile does not say.
    pub live_samples: u64,
}

impl Side {
    /// What it has of `metric`.
    pub const fn of(&self, metric: Metric) -> u64 {
        match metric {
            Metric::LiveBytes => self.live.bytes,
            Metric::LiveObjects => self.live.objects,
            Metric::AllocatedBytes => self.allocated.bytes,
            Metric::AllocatedObjects => self.allocated.objects,
        }
    }

    fn add(&mut self, other: &Side) {
        let add = |sum: &mut Amount, one: Amount| {
            sum.objects = sum.objects.saturating_add(one.objects);
            sum.bytes = sum.bytes.saturating_add(one.bytes);
        };
        add(&mut self.live, other.live);
        add(&mut self.allocated, other.allocated);
        self.live_samples = self.live_samples.saturating_add(other.live_samples);
    }
}

/// What became of an entry, by the metric of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was not there before.
    New,
    /// It is not there any more.
    Gone,
    /// It is more than before.
    Grown,
    /// It is less than before.
    Shrunk,
    /// It is as much; another metric changed.
    Same,
}

impl Change {
    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Change::New => "new",
            Change::Gone => "gone",
            Change::Grown => "grown",
            Change::Shrunk => "shrunk",
            Change::Same => "same",
        }
    }
}

/// A frame of an entry's stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffFrame {
    /// The function.
    pub function: String,
    /// Its source file, as the compiler wrote it.
    pub file: Option<String>,
    /// The line in it, from 1.
    pub line: Option<u32>,
}

/// One place, before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffEntry {
    /// Where it is: the program's own frame, or at [`Level::Leaf`] the leaf. File and line are those of the later
    /// profile if it has them; of several lines of the function, that with the most live bytes.
    pub at: DiffFrame,
    /// The whole stack, leaf first; empty unless at [`Level::Stack`].
    pub stack: Vec<DiffFrame>,
    /// What the earlier profile has.
    pub before: Side,
    /// What the later profile has.
    pub after: Side,
}

impl DiffEntry {
    /// By how much `metric` grew, in bytes or objects; less than zero if it shrank.
    pub fn change(&self, metric: Metric) -> i64 {
        // The check of a profile holds its sums under 2^63.
        self.after.of(metric) as i64 - self.before.of(metric) as i64
    }

    /// By what share of what was there `metric` grew, in percent; `None` of nothing.
    pub fn percent(&self, metric: Metric) -> Option<f64> {
        let before = self.before.of(metric);
        (before > 0).then(|| self.change(metric) as f64 * 100.0 / before as f64)
    }

    /// What became of `metric`.
    pub fn state(&self, metric: Metric) -> Change {
        match (self.before.of(metric), self.after.of(metric)) {
            (before, after) if before == after => Change::Same,
            (0, _) => Change::New,
            (_, 0) => Change::Gone,
            (before, after) if after > before => Change::Grown,
            _ => Change::Shrunk,
        }
    }

    /// The standard error of the change of live bytes, in bytes: a change that is not a few times larger may be
    /// chance. `None` if a profile does not say from how many samples its amounts are.
    pub fn live_bytes_error(&self) -> Option<u64> {
        let square = |side: &Side| match (side.live.bytes, side.live_samples) {
            (0, _) => Some(0.0),
            (_, 0) => None,
            (bytes, samples) => Some((bytes as f64).powi(2) / samples as f64),
        };
        Some((square(&self.before)? + square(&self.after)?).sqrt().round() as u64)
    }
}

/// Two profiles compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diff {
    /// By whose growth the entries are sorted.
    pub metric: Metric,
    /// What an entry is.
    pub level: Level,
    /// Milliseconds from one to the other; 0 if they do not say.
    pub between_ms: u64,
    /// All of the earlier profile.
    pub before: Side,
    /// All of the later profile.
    pub after: Side,
    /// Every entry that changed, what grew most first; equal ones by name.
    pub entries: Vec<DiffEntry>,
}

impl Diff {
    /// The `count` entries that grew most.
    pub fn top(&self, count: usize) -> &[DiffEntry] {
        &self.entries[..count.min(self.entries.len())]
    }

    /// The entries in which the metric changed, and how many there are besides, in which only others did. A table of
    /// what grew has no row for what lived and died in between.
    pub(crate) fn changed(&self) -> (Vec<&DiffEntry>, usize) {
        let changed = |entry: &&DiffEntry| entry.state(self.metric) != Change::Same;
        let changed: Vec<&DiffEntry> = self.entries.iter().filter(changed).collect();
        let others = self.entries.len() - changed.len();
        (changed, others)
    }

    /// Writes the `top` entries in which the metric changed as a table.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_text(&self, top: usize, out: impl std::io::Write) -> std::io::Result<()> {
        text::write(self, top, out)
    }

    /// Writes the `top` entries as JSON of the schema `plimsoll.heap_diff/1`, in one line.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_json(&self, top: usize, out: impl std::io::Write) -> std::io::Result<()> {
        json::write(self, top, out)
    }
}

/// Compares two profiles. Entries in which nothing changed are left out. Allocates about 250 bytes for each
/// entry, and at [`Level::Stack`] 8 bytes for each frame.
pub fn diff(before: &Profile, after: &Profile, options: &DiffOptions) -> Diff {
    let DiffOptions { metric, level } = *options;
    let mut keys = Keys::new(before, after);
    let mut found: BTreeMap<Key, Found> = BTreeMap::new();
    let mut totals = [Side::default(); 2];
    for (which, profile) in [before, after].into_iter().enumerate() {
        for (index, stack) in profile.stacks().iter().enumerate() {
            let side =
                Side { live: stack.live(), allocated: stack.allocated, live_samples: stack.live_samples() };
            totals[which].add(&side);
            let entry = found.entry(keys.of(which, stack, level)).or_default();
            entry.sides[which].add(&side);
            let bytes = entry.lines.entry((which, keys.at(which, stack, level))).or_insert((0, index));
            bytes.0 += side.live.bytes;
        }
    }
    let mut entries: Vec<DiffEntry> = found
        .into_values()
        .filter(|found| Metric::ALL.iter().any(|&it| found.sides[0].of(it) != found.sides[1].of(it)))
        .map(|found| found.entry(&keys, [before, after], level))
        .collect();
    entries.sort_by(|a, b| {
        let by_growth = b.change(metric).cmp(&a.change(metric));
        let name = |entry: &DiffEntry| (entry.at.function.clone(), entry.at.file.clone());
        by_growth
            .then_with(|| b.after.of(metric).cmp(&a.after.of(metric)))
            .then_with(|| name(a).cmp(&name(b)))
    });
    let taken = [before, after].map(|profile| profile.header().taken_unix_ms);
    let between_ms = if taken.contains(&0) { 0 } else { taken[1].saturating_sub(taken[0]) };
    Diff { metric, level, between_ms, before: totals[0], after: totals[1], entries }
}

/// The entries whose live bytes grew by more than `threshold` (10 MiB is the usual one), in the order of the
/// comparison. An estimate, as every amount: see [`DiffEntry::live_bytes_error`].
pub fn over_threshold(diff: &Diff, threshold: Bytes) -> Vec<&DiffEntry> {
    let grown = |entry: &&DiffEntry| {
        u64::try_from(entry.change(Metric::LiveBytes)).is_ok_and(|grown| grown > threshold.as_u64())
    };
    diff.entries.iter().filter(grown).collect()
}

/// A change with its sign: `+1.5MiB`.
pub(crate) fn signed(change: i64, metric: Metric) -> String {
    let sign = match change {
        0 => "",
        change if change < 0 => "-",
        _ => "+",
    };
    format!("{sign}{}", metric.show(change.unsigned_abs()))
}

/// An entry while it is added up.
#[derive(Default)]
struct Found {
    sides: [Side; 2],
    /// By profile and frame (`None` without any): the live bytes there, and a stack that has it.
    lines: BTreeMap<(usize, Option<usize>), (u64, usize)>,
}

impl Found {
    fn entry(&self, keys: &Keys<'_>, profiles: [&Profile; 2], level: Level) -> DiffEntry {
        // The later profile's, then the line with the most bytes, then the first.
        let best = self
            .lines
            .iter()
            .max_by_key(|&(&(which, frame), &(bytes, _))| (which, bytes, std::cmp::Reverse(frame)));
        let (&(which, frame), &(_, index)) = best.expect("an entry was made for a stack");
        let stack = &profiles[which].stacks()[index];
        let full = if level == Level::Stack { keys.frames(which, stack) } else { Vec::new() };
        DiffEntry { at: keys.frame(which, frame), stack: full, before: self.sides[0], after: self.sides[1] }
    }
}
