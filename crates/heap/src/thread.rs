//! What each thread keeps for the sampler: a few words without a destructor, so that they can be used before a
//! thread's first line and after its last, and cost one instruction to reach.

use std::cell::Cell;
use std::ops::Range;

/// See the head of this file.
pub(crate) struct Thread {
    /// Bytes until the next hit. The allocation path subtracts, and looks further only below zero.
    pub(crate) left: Cell<i64>,
    /// The interval with which `left` was drawn.
    pub(crate) interval: Cell<f64>,
    /// The start or stop that this thread has seen: see [`crate::sampler`].
    pub(crate) generation: Cell<u32>,
    /// Whether `left` runs out with a hit, or only to look what has changed.
    pub(crate) ends_in_hit: Cell<bool>,
    /// What the thread works at now: see [`crate::label`].
    pub(crate) label: Cell<u32>,
    /// The state of its random numbers; zero before the first.
    random: Cell<u64>,
    /// Its stack, once known: lowest address and end.
    stack_low: Cell<usize>,
    stack_end: Cell<usize>,
}

#[cfg(not(all(feature = "preload", target_arch = "x86_64", target_os = "linux", not(miri))))]
thread_local! {
    static THREAD: Thread = const {
        Thread {
            // The first allocation looks further, and draws.
            left: Cell::new(0),
            interval: Cell::new(0.0),
            generation: Cell::new(0),
            ends_in_hit: Cell::new(false),
            label: Cell::new(0),
            random: Cell::new(0),
            stack_low: Cell::new(0),
            stack_end: Cell::new(0),
        }
    };
}

/// Uses this thread's words. There is nothing that could fail: they have no destructor to be too late for.
#[cfg(not(all(feature = "preload", target_arch = "x86_64", target_os = "linux", not(miri))))]
#[inline(always)]
pub(crate) fn with<R>(use_it: impl FnOnce(&Thread) -> R) -> R {
    THREAD.with(use_it)
}

/// The same where this is a library of its own. Rust would then ask the dynamic loader for the words with a call, which
/// costs more than all else on the allocation path, and may itself allocate. A library that is loaded with the program
/// has its words at a fixed distance from the thread's control block (the initial-exec model), which no stable option of
/// the compiler can be told: so they are declared here. All of them begin as zero.
#[cfg(all(feature = "preload", target_arch = "x86_64", target_os = "linux", not(miri)))]
mod initial_exec {
    use super::Thread;

    std::arch::global_asm!(
        ".pushsection .tbss.plimsoll_thread, \"awT\", @nobits",
        ".globl plimsoll_thread",
        ".hidden plimsoll_thread",
        ".type plimsoll_thread, @object",
        ".size plimsoll_thread, {bytes}",
        ".p2align 6",
        "plimsoll_thread:",
        ".zero {bytes}",
        ".popsection",
        bytes = const size_of::<Thread>(),
    );
    const _: () = assert!(align_of::<Thread>() <= 64);

    /// Uses this thread's words.
    #[inline(always)]
    pub(crate) fn with<R>(use_it: impl FnOnce(&Thread) -> R) -> R {
        let words: *const Thread;
        // SAFETY: the ABI of thread-local storage on x86-64: the control block's own address is its first word, and the
        // linker fills in how far the words are from it. The place never changes while the thread lives.
        unsafe {
            std::arch::asm!(
                "mov {words}, qword ptr [rip + plimsoll_thread@GOTTPOFF]",
                "add {words}, qword ptr fs:[0]",
                words = out(reg) words,
                options(pure, nomem, nostack),
            );
        }
        // SAFETY: the words are this thread's; zeros are a valid value of each.
        use_it(unsafe { &*words })
    }
}

#[cfg(all(feature = "preload", target_arch = "x86_64", target_os = "linux", not(miri)))]
pub(crate) use initial_exec::with;

impl Thread {
    /// Counts down by the bytes of one allocation; true if they contain a hit, or there is something to look at.
    #[inline(always)]
    pub(crate) fn counts_out(&self, bytes: usize) -> bool {
        let left = self.left.get().wrapping_sub(bytes as i64);
        self.left.set(left);
        left < 0
    }

    /// How many bytes pass before the next hit: exponentially distributed, so that every byte is as likely a hit
    /// as any other whatever went before (a Poisson process).
    pub(crate) fn draw(&self, interval: f64) -> i64 {
        if interval <= 1.0 {
            return 0;
        }
        // The upper 53 bits, as a number above 0 and at most 1.
        let uniform = ((self.random() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        (-uniform.ln() * interval) as i64
    }

    /// The next of this thread's random numbers (splitmix64, by Steele, Lea and Flood, 2014).
    fn random(&self) -> u64 {
        let state = match self.random.get() {
            0 => self.seed(),
            state => state,
        };
        let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        mix(state)
    }

    /// Different for each thread and run: where its words and its stack lie, and when it began.
    fn seed(&self) -> u64 {
        let here = 0_u8;
        let places = (&raw const *self).addr() ^ (&raw const here).addr().rotate_left(32);
        mix(places as u64 ^ mix(crate::os::cycles())) | 1
    }

    pub(crate) fn seed_with(&self, seed: u64) {
        self.random.set(mix(seed) | 1);
    }

    /// Which part of the range it takes slots from: any, as long as it is another than most threads'.
    pub(crate) fn shard(&self) -> usize {
        // Its words lie in its own control block, which is pages away from that of any other thread.
        (mix((&raw const *self).addr() as u64) >> 40) as usize
    }

    /// This thread's own stack, if it was looked up before.
    pub(crate) fn stack(&self) -> Range<usize> {
        self.stack_low.get()..self.stack_end.get()
    }

    pub(crate) fn set_stack(&self, stack: &Range<usize>) {
        self.stack_low.set(stack.start);
        self.stack_end.set(stack.end);
    }
}

/// The output function of splitmix64: every bit of the result depends on every bit of the word.
pub(crate) const fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cells of equal probability, and how far the sum of squares may go: five deviations above what is expected.
    const CELLS: usize = 50;
    const CHI_SQUARE_MAX: f64 = 49.0 + 5.0 * 9.9;

    fn chi_square(counts: &[u32]) -> f64 {
        let expected = counts.iter().sum::<u32>() as f64 / counts.len() as f64;
        counts.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum()
    }

    #[test]
    fn gaps_are_exponentially_distributed() {
        for interval in [65_536.0, 524_288.0] {
            for seed in 0..5 {
                let mut counts = [0; CELLS];
                let mut sum = 0.0;
                with(|thread| {
                    thread.seed_with(seed);
                    for _ in 0..100_000 {
                        let gap = thread.draw(interval) as f64;
                        sum += gap;
                        let below = -(-gap / interval).exp_m1();
                        counts[((below * CELLS as f64) as usize).min(CELLS - 1)] += 1;
                    }
                });
                assert!(chi_square(&counts) < CHI_SQUARE_MAX, "seed {seed}: {counts:?}");
                let mean = sum / 100_000.0;
                assert!((mean / interval - 1.0).abs() < 0.015, "seed {seed}: {mean}");
            }
        }
    }

    #[test]
    fn gaps_do_not_depend_on_those_before() {
        let mut counts = [0; 64];
        with(|thread| {
            thread.seed_with(9);
            let eighth = || ((-(-thread.draw(1e6) as f64 / 1e6).exp_m1()) * 8.0) as usize % 8;
            let mut before = eighth();
            for _ in 0..200_000 {
                let now = eighth();
                counts[before * 8 + now] += 1;
                before = now;
            }
        });
        assert!(chi_square(&counts) < 63.0 + 5.0 * 11.3, "{counts:?}");
    }

    #[test]
    fn every_allocation_is_a_hit_at_an_interval_of_one() {
        with(|thread| {
            assert!((0..1000).all(|_| thread.draw(1.0) == 0));
            thread.left.set(0);
            assert!(thread.counts_out(1));
        });
    }

    #[test]
    fn threads_draw_differently() {
        let draws: Vec<i64> = (0..50)
            .map(|_| {
                std::thread::spawn(|| with(|thread| thread.draw(1e12))).join().expect("it does not panic")
            })
            .collect();
        let different: std::collections::HashSet<i64> = draws.iter().copied().collect();
        assert_eq!(different.len(), draws.len());
    }
}
