//! Numbers that look random and are the same in every run: otherwise two setups would not do the same work.

/// A generator of the xorshift kind: a few instructions, so that it does not hide what is measured.
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    /// The sequence of that seed.
    pub const fn new(seed: u64) -> Self {
        // Xorshift stays at zero for ever.
        Self(seed | 1)
    }

    /// The next number.
    #[inline]
    #[allow(clippy::should_implement_trait)] // An iterator would only be in the way in these loops.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// The next number below `end`, which is at most 2^32. Not exactly even, which nobody here needs.
    #[inline]
    pub fn below(&mut self, end: u64) -> u64 {
        ((self.next() >> 32) * end) >> 32
    }

    /// The next number in `low..=high`.
    #[inline]
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below((high - low + 1) as u64) as usize
    }
}
