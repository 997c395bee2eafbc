//! Five thousand ways to one allocation, as different as call paths are in a large service: without them a
//! profiler's table of stacks is never more than half a page.
//!
//! A path is thirteen forks, left or right by a bit of its number, and then straight on. Each of the two
//! functions calls both at two places, so that every bit is another return address.

use std::hint::black_box;

/// Forks on a path: 2^13 = 8,192 paths are to be had.
const FORKS: u32 = 13;
/// Calls behind the forks, the same in all paths, so that each is over 30 deep.
const STRAIGHT: u32 = 20;

/// How many different paths there are.
pub const PATHS_MAX: u32 = 1 << FORKS;

/// Calls `leaf` at the end of the path of that number.
pub fn walk(path: u32, leaf: &mut dyn FnMut()) {
    assert!(path < PATHS_MAX, "path {path} of {PATHS_MAX}");
    left(path, FORKS + STRAIGHT, leaf);
}

// The two must differ, or the compiler makes one of them; and something must be done behind the calls that
// it cannot move before them, or it makes loops.
#[inline(never)]
fn left(path: u32, calls: u32, leaf: &mut dyn FnMut()) -> u32 {
    if calls == 0 {
        leaf();
        return black_box(1);
    }
    let below =
        if path & 1 == 0 { left(path >> 1, calls - 1, leaf) } else { right(path >> 1, calls - 1, leaf) };
    black_box(below + 1)
}

#[inline(never)]
fn right(path: u32, calls: u32, leaf: &mut dyn FnMut()) -> u32 {
    if calls == 0 {
        leaf();
        return black_box(2);
    }
    let below =
        if path & 1 == 0 { left(path >> 1, calls - 1, leaf) } else { right(path >> 1, calls - 1, leaf) };
    black_box(below + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_ends_at_the_leaf_once() {
        let mut leaves = 0;
        (0..PATHS_MAX).for_each(|path| walk(path, &mut || leaves += 1));
        assert_eq!(leaves, PATHS_MAX);
    }
}
