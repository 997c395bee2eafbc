//! What was seen of one process over time, within fixed limits.
//!
//! A reading is what a profiler counted up to a moment. Counts only rise and live amounts are as of the moment, so what
//! happened between two readings is their difference, and a reading in the middle can be forgotten without making that
//! difference wrong. That is how the series stays small: when there are as many readings as it may keep, every second one
//! is forgotten, and from then on only every second one is kept. A day and a minute then look alike, but for the unit of
//! time. (To forget every second one of those that are there, and go on as before, would leave the whole first half of
//! a day to a single reading.)
//!
//! Of a stack a reading is kept only where something of it that had grown older than the youngest generation changed:
//! what is born and dies within it is churn, and says nothing of leaks.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core::heap::{Amount, GENERATIONS, Generation, Growth, HeapSnapshot, ProcessMemory};

use crate::profile::{self, Profile};

/// How much of the past is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesLimits {
    /// The most readings. At least 8; the verdict is finest from 60 on.
    pub readings_max: usize,
    /// The most readings of single stacks, 224 bytes each.
    pub entries_max: usize,
}

impl SeriesLimits {
    /// For a judge that has a process of its own: up to 32 MiB.
    pub const WATCH: SeriesLimits = SeriesLimits { readings_max: 128, entries_max: 128 << 10 };
    /// For a judge that lives in the service that it judges: up to 2 MiB.
    pub const SERVICE: SeriesLimits = SeriesLimits { readings_max: 64, entries_max: 8 << 10 };
}

/// What one stack had at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StackCounts {
    /// Everything that was allocated since the start.
    pub allocated: Amount,
    /// What of it was not freed.
    pub live: Amount,
    /// The samples by age, youngest first.
    pub generations: [Generation; GENERATIONS],
    /// What `realloc` made larger.
    pub growth: Growth,
}

/// What was counted of a process up to one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// For how long the process had been sampled, by a clock that does not jump. Rises from reading to reading.
    pub at: Duration,
    /// The time of day, in milliseconds since 1970.
    pub unix_ms: u64,
    /// How long an epoch is: see [`Generation`].
    pub epoch: Duration,
    /// One sample in this many bytes, on average, at this moment.
    pub interval_bytes: u64,
    /// Samples that were not followed because a table was full, since the start.
    pub dropped: u64,
    /// The stacks by their number, which is the same in all readings. Empty if nobody profiles the process.
    pub stacks: Vec<(u32, StackCounts)>,
    /// What its resident memory consisted of, if that was measured.
    pub memory: Option<ProcessMemory>,
}

impl Reading {
    /// The counts of a snapshot, whose `memory` it takes.
    pub fn of_snapshot(snapshot: &HeapSnapshot) -> Reading {
        let counts = |stack: &plimsoll_core::heap::StackProfile| StackCounts {
            allocated: stack.allocated,
            live: stack.live(),
            generations: stack.generations,
            growth: stack.growth,
        };
        let status = &snapshot.status;
        Reading {
            at: snapshot.since_start,
            unix_ms: snapshot.taken_unix_ms,
            epoch: snapshot.epoch,
            interval_bytes: snapshot.interval.as_u64(),
            dropped: sum_of([status.dropped_large, status.dropped_small, status.dropped_stacks]),
            stacks: snapshot.stacks.iter().map(|stack| (stack.id, counts(stack))).collect(),
            memory: snapshot.memory.clone(),
        }
    }

    /// The counts of a named profile, as a service hands it out. Its memory is read by the names of its parts; those
    /// that are not known are left to the rest.
    pub fn of_profile(profile: &Profile) -> Reading {
        let header = profile.header();
        let counts = |stack: &profile::Stack| StackCounts {
            allocated: stack.allocated,
            live: stack.live(),
            generations: stack.generations,
            growth: stack.growth,
        };
        let dropped = header
            .status
            .as_ref()
            .map_or(0, |status| sum_of([status.dropped_large, status.dropped_small, status.dropped_stacks]));
        Reading {
            at: Duration::from_millis(header.since_start_ms),
            unix_ms: header.taken_unix_ms,
            epoch: Duration::from_millis(header.epoch_ms),
            interval_bytes: header.interval.as_u64(),
            dropped,
            stacks: profile.stacks().iter().map(|stack| (stack.id, counts(stack))).collect(),
            memory: header.memory.as_ref().map(super::process::memory_of),
        }
    }
}

fn sum_of(counts: [u64; 3]) -> u64 {
    counts.into_iter().fold(0, u64::saturating_add)
}

/// The past of one process.
#[derive(Clone, Debug)]
pub struct Series {
    pub(super) limits: SeriesLimits,
    pub(super) readings: Vec<Kept>,
    /// Of each stack its readings, by the number of the reading. Stacks leave when there are more entries than may be.
    pub(super) stacks: BTreeMap<u32, Vec<(u32, StackCounts)>>,
    pub(super) entries: usize,
    pub(super) next: u32,
    /// Readings whose number is a multiple of this are kept, and the latest. A power of two.
    pub(super) stride: u32,
    /// Stacks that left, and may not come back: their beginning is not known any more. A bit each.
    pub(super) left_out: Vec<u64>,
    pub(super) left_out_count: u64,
    pub(super) gaps: Vec<Gap>,
    pub(super) gaps_left_out: u64,
}

/// One reading, without its stacks.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// Its number; numbers in between were forgotten.
    pub(crate) number: u32,
    pub(crate) at_s: f64,
    pub(crate) unix_ms: u64,
    pub(crate) epoch_s: f64,
    pub(crate) interval_bytes: u64,
    pub(crate) dropped: u64,
    /// The work clock: bytes allocated by everybody since the start.
    pub(crate) work_bytes: u64,
    pub(crate) live_bytes: u64,
    pub(crate) has_stacks: bool,
    pub(crate) memory: Option<ProcessMemory>,
}

/// Something about the observation itself that its reader should know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Gap {
    /// The time of day moved by this much more than the time that passed, in seconds.
    ClockJumped(f64),
    /// Nobody looked for this long, in seconds.
    Unseen(f64),
}

/// More of them say nothing new.
const GAPS_MAX: usize = 8;
/// The time of day is set right in small steps all the time.
const JUMP_S: f64 = 5.0;
/// Readings this many times as far apart as usual were not taken by plan.
const UNSEEN_TIMES: f64 = 8.0;

impl Series {
    /// An empty one.
    pub fn new(limits: SeriesLimits) -> Series {
        Series {
            limits: SeriesLimits { readings_max: limits.readings_max.max(8), ..limits },
            // All at once, so that it does not look like what it judges.
            readings: Vec::with_capacity(limits.readings_max.max(8) + 1),
            stacks: BTreeMap::new(),
            entries: 0,
            next: 0,
            stride: 1,
            left_out: Vec::new(),
            left_out_count: 0,
            gaps: Vec::new(),
            gaps_left_out: 0,
        }
    }

    /// Adds what was counted up to now. One that is not later than the last is not taken, and `false`.
    pub fn add(&mut self, reading: &Reading) -> bool {
        let at_s = reading.at.as_secs_f64();
        if self.readings.last().is_some_and(|last| at_s <= last.at_s) {
            return false;
        }
        self.note_gaps(at_s, reading.unix_ms);
        let (mut work_bytes, mut live_bytes) = (0_u64, 0_u64);
        for (_, counts) in &reading.stacks {
            work_bytes = work_bytes.saturating_add(counts.allocated.bytes);
            live_bytes = live_bytes.saturating_add(counts.live.bytes);
        }
        let number = self.next;
        self.next += 1;
        self.readings.push(Kept {
            number,
            at_s,
            unix_ms: reading.unix_ms,
            epoch_s: reading.epoch.as_secs_f64(),
            interval_bytes: reading.interval_bytes,
            dropped: reading.dropped,
            work_bytes,
            live_bytes,
            has_stacks: !reading.stacks.is_empty(),
            memory: reading.memory.clone(),
        });
        for (id, counts) in &reading.stacks {
            self.add_stack(number, *id, counts);
        }
        self.forget_the_one_before();
        if self.readings.len() > self.limits.readings_max {
            self.forget_every_second();
        }
        while self.entries > self.limits.entries_max {
            self.leave_out_the_lightest();
        }
        true
    }

    fn add_stack(&mut self, number: u32, id: u32, counts: &StackCounts) {
        let is_first = self.readings.len() == 1;
        if self.is_left_out(id) {
            return;
        }
        match self.stacks.get_mut(&id) {
            Some(entries) => {
                let changed = entries.last().is_none_or(|(_, last)| is_older_part_changed(last, counts));
                if changed {
                    entries.push((number, *counts));
                    self.entries += 1;
                }
            }
            None if is_first || has_older_part(counts) => {
                self.stacks.insert(id, vec![(number, *counts)]);
                self.entries += 1;
            }
            None => {}
        }
    }

    fn note_gaps(&mut self, at_s: f64, unix_ms: u64) {
        let Some(last) = self.readings.last() else { return };
        let (passed_s, first) = (at_s - last.at_s, &self.readings[0]);
        let usual_s = (last.at_s - first.at_s) / (last.number - first.number).max(1) as f64;
        let day_s = (unix_ms as f64 - last.unix_ms as f64) / 1000.0;
        let jump = (unix_ms != 0 && last.unix_ms != 0 && (day_s - passed_s).abs() > JUMP_S)
            .then_some(Gap::ClockJumped(day_s - passed_s));
        let is_unseen = self.next > 4 && passed_s > UNSEEN_TIMES * usual_s.max(0.05) && passed_s > 1.0;
        for gap in [jump, is_unseen.then_some(Gap::Unseen(passed_s))].into_iter().flatten() {
            if self.gaps.len() < GAPS_MAX {
                self.gaps.push(gap);
            } else {
                self.gaps_left_out += 1;
            }
        }
    }

    /// What was the latest reading until now stays only if it is one of those that are kept.
    fn forget_the_one_before(&mut self) {
        let Some(before) = self.readings.len().checked_sub(2) else { return };
        let (number, last) = (self.readings[before].number, self.readings[before + 1].number);
        if number.is_multiple_of(self.stride) {
            return;
        }
        self.readings.remove(before);
        for entries in self.stacks.values_mut() {
            // What was read then is what was known now, unless it has changed since.
            match entries.as_mut_slice() {
                [.., (second, _), (first, _)] if *second == number && *first == last => {
                    entries.swap_remove(entries.len() - 2);
                    self.entries -= 1;
                }
                [.., (first, _)] if *first == number => *first = last,
                _ => {}
            }
        }
    }

    /// The first and the last reading stay.
    fn forget_every_second(&mut self) {
        let last = self.readings.len() - 1;
        self.stride = self.stride.saturating_mul(2);
        let (mut nth, stride) = (0, self.stride);
        self.readings.retain(|kept| {
            nth += 1;
            kept.number.is_multiple_of(stride) || nth - 1 == last
        });
        let numbers: Vec<u32> = self.readings.iter().map(|kept| kept.number).collect();
        for entries in self.stacks.values_mut() {
            // What was read then is what was known at the next moment that is kept.
            for (number, _) in entries.iter_mut() {
                let next = numbers.partition_point(|kept| kept < number);
                *number = numbers.get(next).copied().unwrap_or(*number);
            }
            // Of several at one moment the last.
            entries.reverse();
            entries.dedup_by_key(|(number, _)| *number);
            entries.reverse();
        }
        self.entries = self.stacks.values().map(Vec::len).sum();
    }

    fn leave_out_the_lightest(&mut self) {
        let weight = |entries: &[(u32, StackCounts)]| entries.last().map_or(0, |(_, last)| old_bytes(last));
        let lightest = self.stacks.iter().min_by_key(|(_, entries)| weight(entries)).map(|(&id, _)| id);
        let Some(id) = lightest else { return };
        self.entries -= self.stacks.remove(&id).map_or(0, |entries| entries.len());
        let word = id as usize / 64;
        if self.left_out.len() <= word {
            self.left_out.resize(word + 1, 0);
        }
        self.left_out[word] |= 1 << (id % 64);
        self.left_out_count += 1;
    }

    fn is_left_out(&self, id: u32) -> bool {
        self.left_out.get(id as usize / 64).is_some_and(|word| word & (1 << (id % 64)) != 0)
    }

    /// From the first reading to the last.
    pub fn observed(&self) -> Duration {
        let (first, last) = (self.readings.first(), self.readings.last());
        let observed_s = last.map_or(0.0, |last| last.at_s) - first.map_or(0.0, |first| first.at_s);
        Duration::from_secs_f64(observed_s.max(0.0))
    }

    /// Whether the process was seen from its first allocations on.
    pub(crate) fn is_from_birth(&self) -> bool {
        self.readings.first().is_some_and(|first| first.at_s <= 4.0 * first.epoch_s.max(0.25))
    }

    /// How many readings were added, the forgotten ones included.
    pub fn added(&self) -> u32 {
        self.next
    }

    /// The stacks whose old samples came or went: those that need names for a verdict. Sorted.
    pub fn active_stacks(&self) -> Vec<u32> {
        self.stacks
            .iter()
            .filter(|(_, entries)| entries.len() > 1 || self.began_late(entries))
            .map(|(&id, _)| id)
            .collect()
    }

    fn began_late(&self, entries: &[(u32, StackCounts)]) -> bool {
        entries.first().is_some_and(|&(number, _)| number > 0)
    }

    /// How many stacks were left out because there were too many.
    pub fn stacks_left_out(&self) -> u64 {
        self.left_out_count
    }

    /// The memory that it has, in bytes, by its entries.
    pub fn own_bytes(&self) -> u64 {
        let entries: usize = self.stacks.values().map(Vec::capacity).sum();
        let bytes = entries * size_of::<(u32, StackCounts)>()
            + self.stacks.len() * 64
            + self.readings.capacity() * (size_of::<Kept>() + 256)
            + self.left_out.capacity() * 8;
        bytes as u64
    }

    pub(crate) fn readings(&self) -> &[Kept] {
        &self.readings
    }

    pub(crate) fn stacks(&self) -> &BTreeMap<u32, Vec<(u32, StackCounts)>> {
        &self.stacks
    }

    pub(crate) fn gaps(&self) -> (&[Gap], u64) {
        (&self.gaps, self.gaps_left_out)
    }
}

fn has_older_part(counts: &StackCounts) -> bool {
    counts.generations[1..].iter().any(|generation| *generation != Generation::default())
}

fn is_older_part_changed(before: &StackCounts, after: &StackCounts) -> bool {
    before.generations[1..] != after.generations[1..] || before.growth != after.growth
}

fn old_bytes(counts: &StackCounts) -> u64 {
    counts.generations[1..].iter().fold(0, |sum, generation| sum.saturating_add(generation.live_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_past_is_thinned_evenly_and_stays_exact() {
        for readings_max in [8, 9, 64] {
            let mut series = Series::new(SeriesLimits { readings_max, entries_max: 1 << 20 });
            for nth in 1..=1000_u64 {
                let mut counts = StackCounts::default();
                // One stack changes all the time, the other only now and then.
                counts.generations[3].live_samples = nth;
                let mut rare = counts;
                rare.generations[3].live_samples = nth / 100;
                let at = Duration::from_secs(60 * nth);
                let stacks = vec![(1, counts), (2, rare)];
                series.add(&Reading { at, stacks, ..Reading::default() });
                let readings = series.readings();
                assert!(readings.len() <= readings_max);
                let known = |id: u32, number: u32| -> u64 {
                    let entries = series.stacks().get(&id).map_or(&[][..], Vec::as_slice);
                    let it = entries.iter().rev().find(|entry| entry.0 <= number);
                    it.map_or(0, |(_, counts)| counts.generations[3].live_samples)
                };
                for kept in readings {
                    let then = u64::from(kept.number) + 1;
                    assert_eq!(known(1, kept.number), then, "reading {then} of {nth}");
                    assert_eq!(known(2, kept.number), then / 100, "reading {then} of {nth}");
                }
                let entries: usize = series.stacks().values().map(Vec::len).sum();
                assert_eq!(entries, series.entries);
                let apart: Vec<u32> = readings.windows(2).map(|it| it[1].number - it[0].number).collect();
                assert!(apart[..apart.len().saturating_sub(1)].iter().all(|&by| by == series.stride));
            }
        }
    }
}
