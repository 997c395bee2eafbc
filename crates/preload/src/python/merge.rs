//! One stack of two: Python frames in the place of the native functions that ran them.

/// What [`merge`] made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Merged {
    /// Addresses written.
    pub(crate) depth: usize,
    /// There was no room for the rest.
    pub(crate) truncated: bool,
}

/// The native return addresses and the Python frames, both leaf first, as one stack.
///
/// In the place of each address that `is_eval` come the frames up to and including the next that is an entry: a run. The
/// last such address takes all that are left, and without any they come at the end: a native stack that could not be
/// followed to its end loses no Python frame. An address for which no run is left stays, and so does one whose run is
/// only a mark, number 0. Nothing else is left out, up to the room in `out`.
///
/// Allocates nothing; safe in signal handlers and after a fork.
pub(crate) fn merge(
    is_eval: impl Fn(u64) -> bool,
    native: &[u64],
    frames: &[(u64, bool)],
    out: &mut [u64],
) -> Merged {
    let last = native.iter().rposition(|&address| is_eval(address));
    let mut out = Output { out, merged: Merged { depth: 0, truncated: false } };
    let mut left = frames.iter();
    for (at, &address) in native.iter().enumerate() {
        if !is_eval(address) {
            out.push(address);
            continue;
        }
        let mut frames = 0;
        for &(number, is_entry) in left.by_ref() {
            if number != 0 {
                out.push(number);
                frames += 1;
            }
            if is_entry && Some(at) != last {
                break;
            }
        }
        if frames == 0 {
            out.push(address);
        }
    }
    left.filter(|(number, _)| *number != 0).for_each(|&(number, _)| out.push(number));
    out.merged
}

struct Output<'a> {
    out: &'a mut [u64],
    merged: Merged,
}

impl Output<'_> {
    fn push(&mut self, address: u64) {
        match self.out.get_mut(self.merged.depth) {
            Some(place) => {
                *place = address;
                self.merged.depth += 1;
            }
            None => self.merged.truncated = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Native addresses from 1000 on are the evaluation function's.
    fn merged(native: &[u64], frames: &[(u64, bool)]) -> Vec<u64> {
        let mut out = [0; 64];
        let Merged { depth, truncated } = merge(|address| address >= 1000, native, frames, &mut out);
        assert!(!truncated);
        out[..depth].to_vec()
    }

    #[test]
    fn each_run_comes_where_its_function_was() {
        let frames = [(1, false), (2, true), (3, true), (4, false), (5, false), (6, true)];
        let native = [100, 1000, 101, 102, 1001, 1002, 103];
        assert_eq!(merged(&native, &frames), [100, 1, 2, 101, 102, 3, 4, 5, 6, 103]);
    }

    #[test]
    fn nothing_is_lost_when_they_do_not_match() {
        let frames = [(1, true), (2, true), (3, true)];
        assert_eq!(merged(&[100, 1000, 101, 1001, 102], &frames), [100, 1, 101, 2, 3, 102], "more runs");
        assert_eq!(merged(&[1000, 1001, 101, 1002, 1003], &frames), [1, 2, 101, 3, 1003], "fewer runs");
        assert_eq!(merged(&[100, 101], &frames), [100, 101, 1, 2, 3], "no evaluation function");
        assert_eq!(merged(&[100, 1000, 101], &[]), [100, 1000, 101], "no Python");
        assert_eq!(merged(&[], &frames), [1, 2, 3]);
        assert_eq!(merged(&[], &[]), []);
    }

    #[test]
    fn frames_without_an_entry_are_a_run() {
        assert_eq!(merged(&[100, 1000, 101, 1001], &[(1, false), (2, false)]), [100, 1, 2, 101, 1001]);
    }

    #[test]
    fn a_mark_holds_the_place_of_a_run_that_is_empty() {
        let frames = [(1, true), (0, true), (2, false), (3, true)];
        assert_eq!(merged(&[1000, 100, 1001, 101, 1002], &frames), [1, 100, 1001, 101, 2, 3]);
        assert_eq!(merged(&[100], &frames), [100, 1, 2, 3]);
        assert_eq!(merged(&[1000], &[(0, true)]), [1000]);
    }

    #[test]
    fn what_has_no_room_is_cut_and_said() {
        let frames = [(1, false), (2, true)];
        for room in 0..6 {
            let mut out = vec![0; room];
            let cut = merge(|address| address >= 1000, &[100, 1000, 101], &frames, &mut out);
            assert_eq!(cut, Merged { depth: room.min(4), truncated: room < 4 });
            assert_eq!(out[..cut.depth], [100, 1, 2, 101][..cut.depth]);
        }
    }
}
