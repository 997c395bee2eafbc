//! How old a stack's live samples are, kept as they are born and die.
//!
//! A verdict needs to know how many samples of a stack grew old, and how many of the old ones died. To walk
//! all live samples for that would take milliseconds and race with the program; so every stack has a small
//! row of counters, one for each *block* of epochs, and a sample counts in the block in which it was born.
//! Blocks double in length as they age, like the digits of a number that is counted up: five or six blocks of
//! one epoch, then two or three of 2, of 4, and so on to 256; what is older is in one last counter. Two blocks
//! of a length become one of the next at the same moment for all their samples, which is what makes the sums
//! between two snapshots exact (see [`plimsoll_core::heap::Generation`]).
//!
//! Words: an *epoch* is a number that rises by one every ten seconds or so; the *level* of a block is the
//! logarithm of its length, and is the generation that it belongs to.

use plimsoll_core::heap::GENERATIONS;

/// The level of everything older than the longest blocks.
const ANCIENT: usize = GENERATIONS - 1;
/// Counters of level 0: this many blocks of it exist at most at any moment.
const YOUNGEST: usize = 6;
/// Counters of each further level.
const EACH: usize = 3;
/// Counters of a stack.
pub(crate) const COUNTERS: usize = YOUNGEST + (ANCIENT - 1) * EACH + 1;

/// The last epoch that there is: the bit above is what a stack's cell marks with that it is being arranged. It goes on
/// for ever; at eight epochs a second it begins after eight years.
const LAST: u32 = u32::MAX >> 1;

/// The epoch so long after the first began.
pub(crate) fn epoch(passed_ns: u64, epoch_ns: u64) -> u32 {
    u32::try_from(passed_ns / epoch_ns).unwrap_or(LAST).min(LAST)
}

/// When an epoch is over, after the first began; the last one never is.
pub(crate) fn ends_ns(epoch: u32, epoch_ns: u64) -> u64 {
    if epoch < LAST { (u64::from(epoch) + 1).saturating_mul(epoch_ns) } else { u64::MAX }
}

/// The generation of a sample born in one epoch and looked at in another.
///
/// The smallest level at which the *pair* of blocks that it belongs to is at most two pairs behind: deciding
/// by pairs is what moves both halves of the next longer block at once.
pub(crate) const fn level(born: u32, now: u32) -> usize {
    let born = if born > now { now } else { born };
    // The distance of pairs at level `n` is within one of `(now - born) >> (n + 1)`: start just below.
    let age = now - born;
    let mut level = (32 - (age / 3).leading_zeros()).saturating_sub(1) as usize;
    level = level.saturating_sub(1);
    while level < ANCIENT {
        if (now >> (level + 1)) - (born >> (level + 1)) <= 2 {
            return level;
        }
        level += 1;
    }
    ANCIENT
}

/// The counter of a sample born in one epoch and looked at in another.
pub(crate) const fn counter(born: u32, now: u32) -> usize {
    let born = if born > now { now } else { born };
    counter_at(level(born, now), born)
}

const fn counter_at(level: usize, born: u32) -> usize {
    match level {
        0 => born as usize % YOUNGEST,
        ANCIENT => COUNTERS - 1,
        _ => YOUNGEST + (level - 1) * EACH + (born >> level) as usize % EACH,
    }
}

/// The level that a counter belongs to.
pub(crate) const fn level_of(counter: usize) -> usize {
    if counter < YOUNGEST { 0 } else { 1 + (counter - YOUNGEST) / EACH }
}

/// The counters of a level.
pub(crate) const fn counters_of(level: usize) -> std::ops::Range<usize> {
    match level {
        0 => 0..YOUNGEST,
        ANCIENT => COUNTERS - 1..COUNTERS,
        _ => YOUNGEST + (level - 1) * EACH..YOUNGEST + level * EACH,
    }
}

/// The counters whose blocks move when the epoch goes from `from` to `to`, as pairs of counters, oldest first:
/// each goes where everything has already left.
pub(crate) fn moves(from: u32, to: u32) -> impl Iterator<Item = (usize, usize)> {
    (0..ANCIENT).rev().flat_map(move |level| blocks(level, from)).filter_map(move |(level, born)| {
        let (here, there) = (counter_at(level, born), counter(born, to));
        (here != there).then_some((here, there))
    })
}

/// The blocks of a level that exist in an epoch, oldest first, each by its first epoch.
fn blocks(level: usize, now: u32) -> impl Iterator<Item = (usize, u32)> {
    let newest = now >> level;
    let oldest = (newest >> 1).saturating_sub(2) << 1;
    (oldest..=newest).map(move |block| (level, block << level)).filter(move |&(level, born)| {
        // At a higher level the younger blocks of the window still exist as shorter ones.
        self::level(born, now) == level
    })
}

/// Samples and bytes in one word, so that one addition counts both: bytes in the upper 40 bits, samples in the
/// lower 24. Sums may go below zero for a moment, in both; one block of one stack counts rightly up to eight
/// million samples and 512 GiB.
pub(crate) const fn pack(samples: i64, bytes: i64) -> u64 {
    (bytes << SAMPLES_BITS).wrapping_add(samples).cast_unsigned()
}

const SAMPLES_BITS: u32 = 24;
/// How many samples a counter can tell from fewer than none.
pub(crate) const SAMPLES_MAX: u64 = 1 << (SAMPLES_BITS - 1);

/// The samples and bytes of a sum of packed words.
pub(crate) const fn unpack(word: u64) -> (i64, i64) {
    let word = word.cast_signed();
    let samples = (word << (64 - SAMPLES_BITS)) >> (64 - SAMPLES_BITS);
    (samples, word.wrapping_sub(samples) >> SAMPLES_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// What the definition says, without the shortcut.
    fn level_by_definition(born: u32, now: u32) -> usize {
        (0..ANCIENT).find(|&level| (now >> (level + 1)) - (born >> (level + 1)) <= 2).unwrap_or(ANCIENT)
    }

    #[test]
    fn the_shortcut_is_the_definition() {
        for now in (0..3000).chain([u32::MAX - 5, u32::MAX]) {
            for age in (0..2000).filter(|&age| age <= now) {
                assert_eq!(level(now - age, now), level_by_definition(now - age, now), "{age} at {now}");
            }
        }
    }

    #[test]
    fn no_two_blocks_share_a_counter_and_ages_double() {
        for now in 0..5000_u32 {
            let mut owner: HashMap<usize, (usize, u32)> = HashMap::new();
            for age in 0..=now.min(2000) {
                let born = now - age;
                let level = level(born, now);
                assert!(level == ANCIENT || age < 6 << level, "age {age} at level {level}");
                assert!(level == 0 || age > 2 << (level - 1), "age {age} at level {level}");
                let block = if level == ANCIENT { 0 } else { born >> level };
                let counter = counter(born, now);
                assert!(counters_of(level).contains(&counter) && level_of(counter) == level);
                assert_eq!(*owner.entry(counter).or_insert((level, block)), (level, block));
            }
        }
    }

    #[test]
    fn counters_moved_are_where_a_newcomer_would_count_itself() {
        for from in (0..700_u32).step_by(3) {
            for step in [1, 2, 3, 7, 20, 100, 1000] {
                let to = from + step;
                // Every epoch's births as the counters see them, then moved, against the births placed afresh.
                let mut rows = [0_u64; COUNTERS];
                let mut fresh = [0_u64; COUNTERS];
                for born in 0..=from {
                    rows[counter(born, from)] += u64::from(born) + 1;
                    fresh[counter(born, to)] += u64::from(born) + 1;
                }
                for (here, there) in moves(from, to) {
                    rows[there] += std::mem::take(&mut rows[here]);
                }
                assert_eq!(rows, fresh, "{from} to {to}");
            }
        }
    }

    #[test]
    fn epochs_follow_one_another_until_the_last_which_stays() {
        // The longest are of an hour, of which there are not that many in the nanoseconds of a word.
        for (epoch_ns, last) in [(1, LAST - 1), (125_000_000, LAST - 1), (3_600_000_000_000, 5_000_000)] {
            for at in [0, 1, 1000, last] {
                let (starts, ends) = (u64::from(at) * epoch_ns, ends_ns(at, epoch_ns));
                assert_eq!((epoch(starts, epoch_ns), epoch(ends - 1, epoch_ns)), (at, at));
                assert_eq!(epoch(ends, epoch_ns), at + 1);
            }
            assert_eq!(ends_ns(LAST, epoch_ns), u64::MAX);
        }
        assert_eq!(epoch(u64::MAX, 1), LAST, "it neither wraps nor reaches the mark");
    }

    #[test]
    fn a_packed_sum_is_the_sum_of_both() {
        let sum = [(1, 4096), (1, 1 << 38), (-1, -4096), (1, 0), (-1, -(1 << 38)), (-1, -7)]
            .iter()
            .fold(0_u64, |sum, &(samples, bytes)| sum.wrapping_add(pack(samples, bytes)));
        assert_eq!(unpack(sum), (0, -7));
        assert_eq!(unpack(pack(8_388_607, 1 << 38)), (8_388_607, 1 << 38));
        assert_eq!(unpack(pack(-1, 0)), (-1, 0));
    }
}
