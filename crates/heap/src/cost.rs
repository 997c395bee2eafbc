//! What sampling costs, what room it leaves, and the interval that follows from both.
//!
//! Every sampled operation is timed with the processor's time stamp. About ten times a second one thread compares the
//! sum with the CPU time of the process: if it is above the target, the interval grows by as many doublings as that asks
//! for; if it would be below it at half the interval, with some room, the interval halves. Between the two nothing moves.
//!
//! A program that allocates and does little else would have its sampling made coarse to save next to nothing: what is
//! left of a processor that idles. So the target may have a second half, in parts of the time that passes, and it is
//! enough that one of them is met.
//!
//! Tables are finite, and a sample that lives keeps its place. So the finest interval that is allowed rises as they fill:
//! twice as coarse when half of the fullest is used, and four times coarser with each half of what is left. What comes
//! late still finds a place, and the interval comes back when places are given back.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::engine::{Engine, engine};
use crate::os;
use crate::profiler::Interval;
use crate::sampler;

/// The finest and the coarsest interval, in bytes, if nobody says otherwise.
const FINEST: f64 = 32.0 * 1024.0;
/// See [`FINEST`]. What is larger is sampled whatever the interval is.
pub(crate) const COARSEST: f64 = 512.0 * 1024.0;
/// What sampling may cost if nobody says otherwise, in parts of a million of the process's CPU time: half a percent.
const COST_MAX_PPM: u32 = 5000;
/// Above this the cost is no bound any more.
const COST_MAX_PPM_MAX: u32 = 900_000;
/// Half the interval costs about twice; it is taken only if the cost is below this part of the target.
const ROOM: f64 = 0.4;
/// A look is taken after this many nanoseconds of CPU time: less says little.
const LOOK_NS: u64 = 100_000_000;
/// Who began with the finest interval and was made coarser by a burst does not wait for that long if the program has
/// become quiet: this much CPU time is enough after so much time has passed.
const QUIET_CPU_NS: u64 = 2_000_000;
/// See [`QUIET_CPU_NS`].
const QUIET_NS: u64 = 500_000_000;
/// Between looks, in cycles of the time stamp: 30 to 100 ms on today's machines.
const LOOK_CYCLES: i64 = 1 << 27;
/// No operation takes longer by itself: what does was interrupted, and counts as much as this.
const LONGEST_CYCLES: i64 = 1 << 16;
/// Threads hear of another interval at least this often, in finest intervals.
const STEP_INTERVALS: f64 = 64.0;

/// What adaptive sampling stays within.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bounds {
    finest: f64,
    cost_max_ppm: u32,
    /// Parts of a million of the time that passes, which sampling may take in any case.
    spare_ppm: u32,
    /// Begins with the finest interval and not with the coarsest.
    eager: bool,
}

impl Bounds {
    /// `None` if the interval stays as it is.
    fn of(interval: Interval) -> Option<Self> {
        match interval {
            Interval::Adaptive => {
                Some(Self { finest: FINEST, cost_max_ppm: COST_MAX_PPM, spare_ppm: 0, eager: false })
            }
            Interval::Fine { finest, cost_max_ppm, spare_ppm } => Some(Self {
                finest: (finest.as_u64() as f64).clamp(sampler::EVERY, COARSEST),
                cost_max_ppm: cost_max_ppm.clamp(1, COST_MAX_PPM_MAX),
                spare_ppm,
                eager: true,
            }),
            Interval::Mean(_) | Interval::Every => None,
        }
    }

    /// The finest interval at which what comes late still finds a place, where this share of the fullest table is used.
    fn roomy(&self, used: f64) -> f64 {
        // Below half it is zero halvings; a table that is full has no logarithm.
        let halvings = (-(1.0 - used).max(f64::EPSILON).log2()).floor();
        let coarser = if halvings < 1.0 { 1.0 } else { (2.0 * halvings - 1.0).exp2() };
        (self.finest * coarser).min(COARSEST)
    }

    /// How many times as much as it may it costs.
    fn excess(&self, spent: Spent) -> f64 {
        // Of the program's own time, since that is what stays the same.
        let share = |ppm: u32| f64::from(ppm) / f64::from(1_000_000 - ppm);
        let excess = share(spent.cpu_ppm.min(990_000)) / share(self.cost_max_ppm);
        if self.spare_ppm == 0 {
            return excess;
        }
        excess.min(f64::from(spent.time_ppm) / f64::from(self.spare_ppm))
    }

    /// The interval to go on with, if it is another.
    fn next(&self, interval: f64, spent: Spent, used: f64) -> Option<f64> {
        let excess = self.excess(spent);
        let next = if excess > 1.0 {
            interval * excess.log2().ceil().exp2()
        } else if excess < ROOM {
            interval / 2.0
        } else {
            interval
        };
        let next = next.clamp(self.roomy(used), COARSEST);
        (next != interval).then_some(next)
    }
}

/// What sampling has cost since the last look, in parts of a million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spent {
    /// Of the process's CPU time.
    cpu_ppm: u32,
    /// Of the time that has passed: of what one processor could have done.
    time_ppm: u32,
}

/// See the head of this file.
pub(crate) struct Cost {
    adaptive: AtomicBool,
    /// The [`Bounds`]; the first as the bits of a floating-point number. Set together, and a look that sees some of one
    /// setting and some of another is put right by the next.
    finest: AtomicU64,
    cost_max_ppm: AtomicU32,
    spare_ppm: AtomicU32,
    eager: AtomicBool,
    spent_cycles: AtomicU64,
    looked_cycles: AtomicU64,
    looked_ns: AtomicU64,
    /// When the last look had seen enough to say something.
    judged_ns: AtomicU64,
    looked_cpu_ns: AtomicU64,
    looked_spent_cycles: AtomicU64,
    ppm: AtomicU32,
}

/// An operation that is timed, if operations are. It ends when this is dropped.
pub(crate) struct Timed<'a> {
    cost: &'a Cost,
    began: Option<u64>,
}

impl Drop for Timed<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(began) = self.began {
            self.cost.add(began);
        }
    }
}

impl Cost {
    pub(crate) fn new() -> Self {
        Self {
            adaptive: AtomicBool::new(false),
            finest: AtomicU64::new(FINEST.to_bits()),
            cost_max_ppm: AtomicU32::new(COST_MAX_PPM),
            spare_ppm: AtomicU32::new(0),
            eager: AtomicBool::new(false),
            spent_cycles: AtomicU64::new(0),
            looked_cycles: AtomicU64::new(os::cycles()),
            looked_ns: AtomicU64::new(os::coarse_ns()),
            judged_ns: AtomicU64::new(os::coarse_ns()),
            looked_cpu_ns: AtomicU64::new(os::process_cpu_ns()),
            looked_spent_cycles: AtomicU64::new(0),
            ppm: AtomicU32::new(0),
        }
    }

    /// Goes on as it is asked for. Says which interval that begins with.
    pub(crate) fn choose(&self, interval: Interval) -> f64 {
        let bounds = Bounds::of(interval);
        if let Some(bounds) = bounds {
            self.finest.store(bounds.finest.to_bits(), Relaxed);
            self.cost_max_ppm.store(bounds.cost_max_ppm, Relaxed);
            self.spare_ppm.store(bounds.spare_ppm, Relaxed);
            self.eager.store(bounds.eager, Relaxed);
        }
        self.adaptive.store(bounds.is_some(), Relaxed);
        sampler::set_step(bounds.map_or(COARSEST, |bounds| bounds.finest * STEP_INTERVALS));
        match interval {
            Interval::Adaptive => COARSEST,
            Interval::Fine { .. } => bounds.map_or(COARSEST, |bounds| bounds.finest),
            Interval::Mean(bytes) => bytes.as_u64() as f64,
            Interval::Every => sampler::EVERY,
        }
    }

    /// Makes the interval coarser if it is finer than there is room for.
    pub(crate) fn leave_room(&self, used: f64) {
        if let (Some(bounds), Some(interval)) = (self.bounds(), sampler::interval()) {
            let roomy = bounds.roomy(used);
            if interval < roomy {
                sampler::adjust(interval, roomy);
            }
        }
    }

    fn bounds(&self) -> Option<Bounds> {
        self.is_adaptive().then(|| Bounds {
            finest: f64::from_bits(self.finest.load(Relaxed)),
            cost_max_ppm: self.cost_max_ppm.load(Relaxed),
            spare_ppm: self.spare_ppm.load(Relaxed),
            eager: self.eager.load(Relaxed),
        })
    }

    pub(crate) fn is_adaptive(&self) -> bool {
        self.adaptive.load(Relaxed)
    }

    /// At the last look, in parts of a million of the process's CPU time.
    pub(crate) fn ppm(&self) -> u32 {
        self.ppm.load(Relaxed)
    }

    /// Times what happens until the answer is dropped.
    #[inline(always)]
    pub(crate) fn timed(&self) -> Timed<'_> {
        Timed { cost: self, began: self.is_adaptive().then(os::cycles) }
    }

    fn add(&self, began: u64) {
        let now = os::cycles();
        // Time stamps of two processors may differ a little: what seems to end before it began took no time.
        let spent = now.wrapping_sub(began).cast_signed().clamp(0, LONGEST_CYCLES);
        self.spent_cycles.fetch_add(spent.cast_unsigned(), Relaxed);
        let looked = self.looked_cycles.load(Relaxed);
        let passed = now.wrapping_sub(looked).cast_signed();
        // One thread wins the exchange, and looks.
        if passed > LOOK_CYCLES && self.looked_cycles.compare_exchange(looked, now, Relaxed, Relaxed).is_ok()
        {
            self.look(passed.cast_unsigned());
        }
    }

    #[cold]
    fn look(&self, cycles: u64) {
        let (now_ns, cpu_ns) = (os::coarse_ns(), os::process_cpu_ns());
        // How long a cycle is follows from the look itself: over these times the coarse clock is good enough.
        let passed_ns = now_ns.saturating_sub(self.looked_ns.swap(now_ns, Relaxed));
        let looked_cpu_ns = self.looked_cpu_ns.load(Relaxed);
        if cpu_ns < looked_cpu_ns {
            // A forked child, whose CPU time begins anew.
            self.looked_cpu_ns.store(cpu_ns, Relaxed);
            self.looked_spent_cycles.store(self.spent_cycles.load(Relaxed), Relaxed);
            return;
        }
        let used_ns = cpu_ns - looked_cpu_ns;
        let since_judged_ns = now_ns.saturating_sub(self.judged_ns.load(Relaxed));
        let is_quiet = self.eager.load(Relaxed) && since_judged_ns >= QUIET_NS && used_ns >= QUIET_CPU_NS;
        if used_ns < LOOK_NS && !is_quiet {
            return;
        }
        self.judged_ns.store(now_ns, Relaxed);
        self.looked_cpu_ns.store(cpu_ns, Relaxed);
        let spent = self.spent_cycles.load(Relaxed);
        let spent_cycles = spent.saturating_sub(self.looked_spent_cycles.swap(spent, Relaxed));
        let spent_ns = spent_cycles as f64 * passed_ns as f64 / cycles.max(1) as f64;
        let of = |ns: u64| (spent_ns / ns.max(1) as f64 * 1e6) as u32;
        let spent = Spent { cpu_ppm: of(used_ns), time_ppm: of(since_judged_ns) };
        self.ppm.store(spent.cpu_ppm, Relaxed);
        let used = engine().map_or(0.0, Engine::used);
        if let (Some(bounds), Some(interval)) = (self.bounds(), sampler::interval())
            && let Some(next) = bounds.next(interval, spent, used)
        {
            sampler::adjust(interval, next);
        }
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_core::Bytes;

    use super::*;

    fn usual() -> Bounds {
        Bounds::of(Interval::Adaptive).expect("it adapts")
    }

    fn fine() -> Bounds {
        fine_with(0)
    }

    fn fine_with(spare_ppm: u32) -> Bounds {
        let fine = Interval::Fine { finest: Bytes::new(256), cost_max_ppm: 100_000, spare_ppm };
        Bounds::of(fine).expect("it adapts")
    }

    /// Of a program that uses a processor without a pause.
    fn busy(ppm: u32) -> Spent {
        Spent { cpu_ppm: ppm, time_ppm: ppm }
    }

    #[test]
    fn the_interval_goes_where_the_cost_is_below_the_target_and_stays() {
        // Programs in which an interval of a byte costs this much of what they do themselves.
        for each_byte in [0.0, 10.0, 30.0, 160.0, 170.0, 300.0, 1000.0, 6000.0] {
            let ppm = |interval: f64| (each_byte / (each_byte + interval) * 1e6) as u32;
            for (bounds, first) in [(usual(), COARSEST), (fine(), 256.0), (fine(), COARSEST)] {
                let mut interval = first;
                for _ in 0..12 {
                    interval = bounds.next(interval, busy(ppm(interval)), 0.0).unwrap_or(interval);
                }
                let excess = bounds.excess(busy(ppm(interval)));
                assert!(excess <= 1.0 || interval == COARSEST, "{each_byte} at {interval}");
                assert!(excess >= ROOM || interval == bounds.finest, "{each_byte} at {interval}");
                assert_eq!(bounds.next(interval, busy(ppm(interval)), 0.0), None, "it does not swing");
            }
        }
    }

    #[test]
    fn one_look_is_enough_to_come_down_from_a_cost_that_nobody_wants() {
        // Six tenths of all time: a program of which sampling takes one and a half times what it takes itself.
        let next = fine().next(256.0, busy(600_000), 0.0).expect("coarser");
        assert_eq!(next, 4096.0, "fourteen times less, as a power of two");
        assert_eq!(fine().next(next, busy(85_714), 0.0), None, "that is below the target");
        for ppm in [100_001, 999_999, 1_000_000, u32::MAX] {
            let next = fine().next(256.0, busy(ppm), 0.0).expect("coarser");
            assert!((512.0..=COARSEST).contains(&next), "{ppm}: {next}");
        }
    }

    #[test]
    fn a_program_that_does_little_may_have_its_idle_processor_used() {
        let (with, without) = (fine_with(50_000), fine());
        // Six tenths of its time, which is three hundredths of the processor's.
        let idle = Spent { cpu_ppm: 600_000, time_ppm: 30_000 };
        assert_eq!(with.next(256.0, idle, 0.0), None);
        assert!(without.next(256.0, idle, 0.0).is_some());
        let more = Spent { cpu_ppm: 600_000, time_ppm: 60_000 };
        assert_eq!(
            with.next(256.0, more, 0.0),
            Some(512.0),
            "the half that is nearer to be met says how far"
        );
        // One that is busy is as without.
        for ppm in [0, 39_000, 90_000, 110_000, 300_000] {
            let spent = Spent { cpu_ppm: ppm, time_ppm: 1_000_000 };
            assert_eq!(with.next(4096.0, spent, 0.0), without.next(4096.0, spent, 0.0), "{ppm}");
        }
    }

    #[test]
    fn the_finest_interval_rises_while_tables_fill_and_comes_back() {
        let bounds = fine();
        for (used, expected) in [
            (0.0, 256.0),
            (0.49, 256.0),
            (0.5, 512.0),
            (0.74, 512.0),
            (0.75, 2048.0),
            (0.875, 8192.0),
            (0.99, 524_288.0),
            (1.0, COARSEST),
        ] {
            assert_eq!(bounds.roomy(used), expected, "{used}");
            // Nothing it costs makes it finer than that.
            let next = bounds.next(expected, busy(0), used).unwrap_or(expected);
            assert!(next >= expected, "{used}: {next}");
        }
        assert_eq!(bounds.next(2048.0, busy(0), 0.5), Some(1024.0), "there is room again");
    }

    #[test]
    fn bounds_that_cannot_be_are_the_nearest_that_can() {
        for (finest, cost_max_ppm) in [(0, 0), (1, 1), (u64::MAX, u32::MAX)] {
            let interval =
                Interval::Fine { finest: Bytes::new(finest), cost_max_ppm, spare_ppm: cost_max_ppm };
            let bounds = Bounds::of(interval).expect("it adapts");
            assert!((sampler::EVERY..=COARSEST).contains(&bounds.finest));
            for ppm in [0, 500_000, u32::MAX] {
                for used in [0.0, 1.0] {
                    let next = bounds.next(bounds.finest, busy(ppm), used).unwrap_or(bounds.finest);
                    assert!((bounds.finest..=COARSEST).contains(&next));
                }
            }
        }
    }
}
