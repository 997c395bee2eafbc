//! One stack's numbers, counted as things happen.

use plimsoll_core::heap::{Amount, GENERATIONS, Generation, Growth};

use super::cohorts::{self, COUNTERS};
use crate::cells::Zeroed;
use crate::sample::{OBJECT, Sample};
use crate::sync::{AcqRel, Acquire, AtomicU32, AtomicU64, Relaxed, Release, fence};

/// Set in `turned` while somebody moves counters to older blocks.
const TURNING: u32 = 1 << 31;
/// How often a copy is tried. Models try less: each look is a hundred steps.
const LOOKS: usize = if cfg!(loom) { 2 } else { 8 };

/// The numbers of one stack. 400 bytes.
#[derive(Default)]
#[repr(C)]
pub(crate) struct StackCell {
    pub(super) hash: AtomicU64,
    /// Where its addresses begin in the table of packed addresses.
    pub(super) packed_at: AtomicU32,
    /// How many bytes they take there; the upper bit says that the stack was longer.
    pub(super) packed_length: AtomicU32,
    /// The epoch for which the live counters are arranged.
    turned: AtomicU32,
    longest_chain: AtomicU32,
    allocated_objects: AtomicU64,
    allocated_bytes: AtomicU64,
    freed_objects: AtomicU64,
    freed_bytes: AtomicU64,
    grown: AtomicU64,
    grown_bytes: AtomicU64,
    died: [AtomicU64; GENERATIONS],
    live: [AtomicU64; COUNTERS],
}

// SAFETY: a struct of atomics.
unsafe impl Zeroed for StackCell {}

#[cfg(not(loom))]
const _: () = assert!(size_of::<StackCell>() == 400);

/// A copy of a [`StackCell`], made while others count on. Of the live counters it has the sums of each generation: half
/// the bytes are half the time.
#[derive(Clone, Copy, Default)]
pub(crate) struct StackCopy {
    pub(super) packed_at: u32,
    pub(super) packed_length: u32,
    longest_chain: u32,
    allocated_objects: u64,
    allocated_bytes: u64,
    freed_objects: u64,
    freed_bytes: u64,
    grown: u64,
    grown_bytes: u64,
    died: [u64; GENERATIONS],
    /// Packed, by generation.
    live: [u64; GENERATIONS],
}

impl StackCell {
    /// A sample was allocated.
    pub(crate) fn born(&self, sample: &Sample, now: u32) {
        self.turn(now);
        let share = sample.share();
        // Released: who sees these numbers sees the addresses that they belong to.
        self.allocated_objects.fetch_add(share.objects, Release);
        self.allocated_bytes.fetch_add(share.bytes, Release);
        let bytes = share.bytes.cast_signed();
        self.live[cohorts::counter(sample.born, now)].fetch_add(cohorts::pack(1, bytes), Relaxed);
    }

    /// A sample was freed.
    pub(crate) fn died(&self, sample: &Sample, now: u32) {
        self.turn(now);
        let share = sample.share();
        // Released: who sees them freed sees them allocated.
        self.freed_objects.fetch_add(share.objects, Release);
        self.freed_bytes.fetch_add(share.bytes, Release);
        let counter = cohorts::counter(sample.born, now);
        let bytes = share.bytes.cast_signed();
        self.live[counter].fetch_add(cohorts::pack(-1, bytes.wrapping_neg()), Relaxed);
        self.died[cohorts::level_of(counter)].fetch_add(1, Relaxed);
    }

    /// A sample has another size and stays the same sample.
    pub(crate) fn resized(&self, before: &Sample, after: &Sample, now: u32) {
        self.turn(now);
        let (old, new) = (before.share(), after.share());
        if after.size >= before.size {
            // What a block gains counts as allocated. It is no other object: what it stands for is known better.
            self.allocated_objects.fetch_add(new.objects.wrapping_sub(old.objects), Relaxed);
            self.allocated_bytes.fetch_add(new.bytes.wrapping_sub(old.bytes), Relaxed);
        } else {
            self.freed_bytes.fetch_add(old.bytes.saturating_sub(new.bytes), Release);
        }
        let change = new.bytes.wrapping_sub(old.bytes).cast_signed();
        self.live[cohorts::counter(before.born, now)].fetch_add(cohorts::pack(0, change), Relaxed);
        if after.size > before.size {
            self.grown.fetch_add(1, Relaxed);
            self.grown_bytes.fetch_add(new.bytes.saturating_sub(old.bytes), Relaxed);
            self.longest_chain.fetch_max(after.grown, Relaxed);
        }
    }

    /// Arranges the live counters for an epoch. Whoever comes first does it; the others count on meanwhile.
    ///
    /// Who counts at the very moment of that may put its one into a counter that is just moved: it is then counted in
    /// another age, usually a neighbouring one, until it dies. It is never lost.
    fn turn(&self, now: u32) {
        let from = self.turned.load(Acquire);
        if from >= now {
            return;
        }
        if self.turned.compare_exchange(from, now | TURNING, AcqRel, Relaxed).is_err() {
            return;
        }
        for (here, there) in cohorts::moves(from, now) {
            // Released, so that a copy which saw one of these changes sees `TURNING` too when it looks again.
            let moved = self.live[here].swap(0, Release);
            if moved != 0 {
                self.live[there].fetch_add(moved, Release);
            }
        }
        self.turned.store(now, Release);
    }

    /// See [`super::Stacks::after_fork`]. What was on its way from one counter to another is missing in the child's ages.
    pub(super) fn after_fork(&self) {
        self.turned.fetch_and(!TURNING, Relaxed);
    }

    /// Begins to count what lives anew: nothing does, until [`StackCell::recount`] says so.
    pub(crate) fn begin_recount(&self, now: u32) {
        self.live.iter().for_each(|counter| counter.store(0, Relaxed));
        self.turned.store(now, Relaxed);
        self.freed_objects.store(self.allocated_objects.load(Relaxed), Relaxed);
        self.freed_bytes.store(self.allocated_bytes.load(Relaxed), Relaxed);
    }

    /// A sample lives.
    pub(crate) fn recount(&self, sample: &Sample, now: u32) {
        let share = sample.share();
        let less =
            |counter: &AtomicU64, by: u64| counter.store(counter.load(Relaxed).saturating_sub(by), Relaxed);
        less(&self.freed_objects, share.objects);
        less(&self.freed_bytes, share.bytes);
        let bytes = share.bytes.cast_signed();
        self.live[cohorts::counter(sample.born, now)].fetch_add(cohorts::pack(1, bytes), Relaxed);
    }

    /// The bytes that live.
    pub(crate) fn live_bytes(&self) -> u64 {
        // What was freed first: so it never seems that more was freed.
        let freed = self.freed_bytes.load(Acquire);
        self.allocated_bytes.load(Acquire).saturating_sub(freed)
    }

    /// Becomes a copy of another, arranged for an epoch.
    pub(crate) fn keep(&self, other: &Self, now: u32) {
        other.turn(now);
        self.take_over(other);
        self.turned.store(now, Relaxed);
    }

    /// The numbers of a cell that is somebody else's, and not to be written to.
    pub(crate) fn look(&self, now: u32) -> StackCopy {
        let own = Self::default();
        for _ in 0..LOOKS {
            let turned = self.turned.load(Acquire);
            own.take_over(self);
            own.turned.store(turned & !TURNING, Relaxed);
            fence(Acquire);
            // Who was ended in the middle of that leaves the mark for ever: the ages of this stack are then off.
            if turned & TURNING == 0 && self.turned.load(Relaxed) == turned {
                break;
            }
        }
        let mut copy = StackCopy::blank();
        own.copy(now, &mut copy);
        copy
    }

    /// In the order of [`StackCell::copy_as_is`], for its reasons.
    fn take_over(&self, from: &Self) {
        let take = |to: &AtomicU64, from: &AtomicU64| to.store(from.load(Acquire), Relaxed);
        self.longest_chain.store(from.longest_chain.load(Relaxed), Relaxed);
        take(&self.freed_objects, &from.freed_objects);
        take(&self.freed_bytes, &from.freed_bytes);
        take(&self.allocated_objects, &from.allocated_objects);
        take(&self.allocated_bytes, &from.allocated_bytes);
        self.packed_at.store(from.packed_at.load(Relaxed), Relaxed);
        self.packed_length.store(from.packed_length.load(Relaxed), Relaxed);
        take(&self.grown, &from.grown);
        take(&self.grown_bytes, &from.grown_bytes);
        self.died.iter().zip(&from.died).for_each(|(to, from)| take(to, from));
        self.live.iter().zip(&from.live).for_each(|(to, from)| take(to, from));
    }

    /// Arranged for `now` from the start, since it was never used before.
    pub(super) fn open(&self, now: u32) {
        self.turned.store(now, Relaxed);
    }

    /// Has the cell brought nearer.
    #[inline(always)]
    pub(super) fn prefetch(&self) {
        #[cfg(all(target_arch = "x86_64", not(any(miri, loom))))]
        for line in (0..size_of::<Self>()).step_by(64) {
            let line = (&raw const *self).cast::<i8>().wrapping_add(line);
            // SAFETY: a hint, for any address.
            unsafe { std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line) };
        }
    }

    /// Copies the numbers, arranged for an epoch. A counter that is just being moved would be seen twice or not at
    /// all: it looks again, a few times, since whoever moves may have been put to sleep. Says whether that helped; if not,
    /// ages of this one copy are off.
    pub(super) fn copy(&self, now: u32, out: &mut StackCopy) -> bool {
        self.turn(now);
        for _ in 0..LOOKS {
            let turned = self.turned.load(Acquire);
            self.copy_as_is(out);
            fence(Acquire);
            if turned & TURNING == 0 && self.turned.load(Relaxed) == turned {
                return true;
            }
        }
        false
    }

    fn copy_as_is(&self, out: &mut StackCopy) {
        out.longest_chain = self.longest_chain.load(Relaxed);
        // What was freed is read before what was allocated: so it never seems that more was freed.
        out.freed_objects = self.freed_objects.load(Acquire);
        out.freed_bytes = self.freed_bytes.load(Acquire);
        out.allocated_objects = self.allocated_objects.load(Acquire);
        out.allocated_bytes = self.allocated_bytes.load(Acquire);
        // After the amounts: where there are any, there are addresses.
        out.packed_at = self.packed_at.load(Relaxed);
        out.packed_length = self.packed_length.load(Relaxed);
        out.grown = self.grown.load(Relaxed);
        out.grown_bytes = self.grown_bytes.load(Relaxed);
        for (to, from) in out.died.iter_mut().zip(&self.died) {
            *to = from.load(Relaxed);
        }
        for (level, to) in out.live.iter_mut().enumerate() {
            let counters = &self.live[cohorts::counters_of(level)];
            *to = counters.iter().fold(0, |sum: u64, counter| sum.wrapping_add(counter.load(Relaxed)));
        }
    }
}

impl StackCopy {
    /// To be overwritten.
    pub(crate) fn blank() -> Self {
        Self { packed_at: 1, ..Self::default() }
    }

    pub(crate) fn live_samples(&self) -> u64 {
        let live: i64 = self.live.iter().map(|&word| cohorts::unpack(word).0).sum();
        live.max(0).cast_unsigned()
    }

    pub(crate) fn died_samples(&self) -> u64 {
        self.died.iter().sum()
    }

    pub(crate) fn allocated(&self) -> Amount {
        Amount { objects: self.allocated_objects.div_ceil(OBJECT), bytes: self.allocated_bytes }
    }

    pub(crate) fn freed(&self) -> Amount {
        // Rounded the same way where nothing is left, so that nothing is left after rounding either.
        let live = self.allocated_objects.saturating_sub(self.freed_objects).div_ceil(OBJECT);
        let objects = self.allocated().objects.saturating_sub(live);
        Amount { objects, bytes: self.freed_bytes.min(self.allocated_bytes) }
    }

    pub(crate) fn growth(&self) -> Growth {
        Growth { grown: self.grown, grown_bytes: self.grown_bytes, longest_chain: self.longest_chain }
    }

    pub(crate) fn generations(&self) -> [Generation; GENERATIONS] {
        let samples = settled(self.live.map(|word| cohorts::unpack(word).0));
        let bytes = settled(self.live.map(|word| cohorts::unpack(word).1));
        std::array::from_fn(|level| Generation {
            live_samples: samples[level],
            live_bytes: bytes[level],
            died_samples: self.died[level],
        })
    }

    #[cfg(all(test, loom))]
    pub(super) fn freed_is_at_most_allocated(&self) -> bool {
        self.freed_objects <= self.allocated_objects && self.freed_bytes <= self.allocated_bytes
    }

    pub(crate) fn is_truncated(&self) -> bool {
        self.packed_length & super::LONGER != 0
    }
}

/// Numbers by age without those below zero, and with the same sum.
///
/// A thread that was put to sleep between looking at the epoch and counting counted in a neighbouring age: there is one
/// too many in one, and one too few in another. To show zero for that would show a sample that nobody frees.
fn settled(mut ages: [i64; GENERATIONS]) -> [u64; GENERATIONS] {
    let mut missing = 0;
    let mut settle = |age: &mut i64| {
        let there = *age + missing;
        *age = there.max(0);
        missing = there.min(0);
    };
    ages.iter_mut().for_each(&mut settle);
    // What was too few in the oldest is taken from the younger.
    ages.iter_mut().rev().for_each(&mut settle);
    ages.map(i64::cast_unsigned)
}

#[cfg(all(test, not(loom)))]
mod miri_tests {
    use super::*;

    fn sample(born: u32, size: u64) -> Sample {
        Sample { stack: 1, born, weight: 2.5, label: 0, grown: 0, size }
    }

    fn copied(cell: &StackCell, now: u32) -> StackCopy {
        let mut copy = StackCopy::blank();
        assert!(cell.copy(now, &mut copy), "nobody turns it meanwhile");
        copy
    }

    #[test]
    fn ages_are_those_of_a_list_of_all_samples() {
        let mut random = fastrand::Rng::with_seed(11);
        let cell = StackCell::default();
        let (mut live, mut died): (Vec<Sample>, _) = (Vec::new(), [0; GENERATIONS]);
        let mut now = 0;
        let rounds = if cfg!(miri) { 300 } else { 50_000 };
        for _ in 0..rounds {
            match random.u32(0..10) {
                0..5 => {
                    live.push(sample(now, random.u64(1..100_000)));
                    cell.born(&live[live.len() - 1], now);
                }
                5..7 if !live.is_empty() => {
                    let sample = live.swap_remove(random.usize(0..live.len()));
                    cell.died(&sample, now);
                    died[cohorts::level_of(cohorts::counter(sample.born, now))] += 1;
                }
                7 if !live.is_empty() => {
                    let nth = random.usize(0..live.len());
                    let after = live[nth].resized(random.u64(1..200_000));
                    cell.resized(&live[nth], &after, now);
                    live[nth] = after;
                }
                8 => now += random.u32(0..3),
                9 if random.u32(0..20) == 0 => now += random.u32(0..400),
                _ => {}
            }
        }
        let copy = copied(&cell, now);
        let mut expected = [Generation::default(); GENERATIONS];
        for sample in &live {
            let generation = &mut expected[cohorts::level_of(cohorts::counter(sample.born, now))];
            generation.live_samples += 1;
            generation.live_bytes += sample.share().bytes;
        }
        for (generation, died) in expected.iter_mut().zip(died) {
            generation.died_samples = died;
        }
        assert_eq!(copy.generations(), expected);
        let bytes: u64 = live.iter().map(|sample| sample.share().bytes).sum();
        assert_eq!(copy.allocated().bytes - copy.freed().bytes, bytes);
        live.iter().for_each(|sample| cell.died(sample, now));
        let copy = copied(&cell, now);
        assert_eq!(copy.allocated(), copy.freed());
        assert!(
            copy.generations()
                .iter()
                .all(|generation| generation.live_samples == 0 && generation.live_bytes == 0)
        );
    }

    #[test]
    fn who_counts_late_moves_an_age_and_leaves_no_sample_behind() {
        // Births and deaths by threads that looked at the epoch up to some epochs ago.
        let mut random = fastrand::Rng::with_seed(5);
        // The interpreter takes a millisecond for each counter of a copy.
        let (rounds, last) = if cfg!(miri) { (1, 26) } else { (2000, 60) };
        for _ in 0..rounds {
            let cell = StackCell::default();
            let mut live = Vec::new();
            for now in 20..last {
                let late = now - random.u32(0..20);
                cell.born(&sample(late, 100), late);
                live.push(sample(late, 100));
                if random.bool() {
                    cell.died(&live.swap_remove(random.usize(0..live.len())), now - random.u32(0..20));
                }
                let copy = copied(&cell, now);
                let samples =
                    copy.generations().iter().map(|generation| generation.live_samples).sum::<u64>();
                assert_eq!(samples, live.len() as u64);
                let bytes = copy.generations().iter().map(|generation| generation.live_bytes).sum::<u64>();
                assert_eq!(bytes, live.len() as u64 * 250);
            }
        }
    }

    #[test]
    fn what_is_missing_in_one_age_is_taken_from_another() {
        let ages = |first: [i64; 4]| std::array::from_fn(|age| first.get(age).copied().unwrap_or(0));
        let after = |first: [i64; 4]| settled(ages(first)).map(u64::cast_signed);
        assert_eq!(after([3, -1, 0, 2]), ages([3, 0, 0, 1]));
        assert_eq!(after([3, 0, -1, 0]), ages([2, 0, 0, 0]));
        assert_eq!(after([-2, 1, 1, 0]), ages([0, 0, 0, 0]));
        assert_eq!(after([1, -2, 0, 0]), ages([0, 0, 0, 0]), "less than nothing is nothing");
    }
}
