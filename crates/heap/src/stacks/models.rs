//! The races of stacks and their counters, each walked in every order that matters.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p plimsoll-heap --release --lib models::`.

use std::sync::Arc;

use loom::thread;

use super::*;
use crate::sample::Sample;

const ADDRESSES: [u64; 3] = [0x5555_0000_1000, 0x5555_0000_2000, 0x7f00_0000_0000];

fn stacks() -> Arc<Stacks> {
    Arc::new(Stacks::with_index(3, 4, None).expect("loom's memory is the machine's"))
}

fn addresses(stacks: &Stacks, stack: u32) -> Vec<u64> {
    let mut copy = StackCopy::blank();
    stacks.cell(stack).copy(0, &mut copy);
    let mut addresses = Vec::new();
    stacks.addresses(&copy, &mut addresses);
    addresses
}

#[test]
fn two_threads_meet_a_stack_at_once_and_agree_on_its_number() {
    crate::sync::model(|| {
        let stacks = stacks();
        let theirs = stacks.clone();
        let thread = thread::spawn(move || theirs.intern(7 << 32, &ADDRESSES, false, 0));
        let ours = stacks.intern(7 << 32, &ADDRESSES, false, 0);
        assert_eq!(thread.join().expect("it does not panic"), ours);
        assert_eq!(stacks.find(7 << 32), Some(ours));
        assert_eq!(addresses(&stacks, ours), ADDRESSES);
        assert_eq!(stacks.dropped(), 0);
    });
}

#[test]
fn two_stacks_want_the_same_place_and_both_are_found() {
    crate::sync::model(|| {
        let stacks = stacks();
        let theirs = stacks.clone();
        let thread = thread::spawn(move || theirs.intern(7 << 32, &ADDRESSES[..2], false, 0));
        let ours = stacks.intern(8 << 32, &ADDRESSES[1..], false, 0);
        let theirs = thread.join().expect("it does not panic");
        assert_ne!(ours, theirs);
        assert_eq!((stacks.find(8 << 32), stacks.find(7 << 32)), (Some(ours), Some(theirs)));
        assert_eq!(addresses(&stacks, ours), ADDRESSES[1..]);
        assert_eq!(addresses(&stacks, theirs), ADDRESSES[..2]);
    });
}

#[test]
fn a_stack_that_is_found_is_complete() {
    crate::sync::model(|| {
        let stacks = stacks();
        let theirs = stacks.clone();
        let thread = thread::spawn(move || theirs.intern(7 << 32, &ADDRESSES[..1], false, 0));
        if let Some(stack) = stacks.find(7 << 32) {
            assert_eq!(addresses(&stacks, stack), ADDRESSES[..1]);
        }
        thread.join().expect("it does not panic");
    });
}

#[test]
fn the_last_cell_goes_to_one_and_the_other_is_counted_elsewhere() {
    crate::sync::model(|| {
        let stacks = Arc::new(Stacks::with_index(1, 4, None).expect("loom's memory is the machine's"));
        let theirs = stacks.clone();
        let thread = thread::spawn(move || theirs.intern(7 << 32, &ADDRESSES[..1], false, 0));
        let ours = stacks.intern(8 << 32, &ADDRESSES[..1], false, 0);
        let theirs = thread.join().expect("it does not panic");
        assert!((ours == OTHER) ^ (theirs == OTHER), "{ours} {theirs}");
        assert_eq!(stacks.dropped(), 1);
        assert_eq!(stacks.opened(), 2);
    });
}

fn sample(born: u32) -> Sample {
    Sample { stack: 1, born, weight: 1.0, label: 0, grown: 0, size: 100 }
}

/// What a copy says lives, in all ages together.
fn live(copy: &StackCopy) -> (u64, u64) {
    let generations = copy.generations();
    (
        generations.iter().map(|generation| generation.live_samples).sum(),
        generations.iter().map(|generation| generation.live_bytes).sum(),
    )
}

#[test]
fn a_copy_during_a_turn_sees_each_sample_once() {
    // Who copies looked at the epoch before the turn, or wants to turn as well.
    for copied_at in [0, 20] {
        crate::sync::model_with(2, move || {
            let cell = Arc::new(StackCell::default());
            cell.born(&sample(0), 0);
            let theirs = cell.clone();
            // Twenty epochs later: the one sample is moved to an older age, and another is born.
            let thread = thread::spawn(move || theirs.born(&sample(20), 20));
            let mut copy = StackCopy::blank();
            // One that met nothing but a turn whose thread was put to sleep says so.
            if cell.copy(copied_at, &mut copy) {
                let (samples, bytes) = live(&copy);
                assert!(
                    (1..=2).contains(&samples) && bytes == samples * 100,
                    "{samples} samples, {bytes} bytes"
                );
            }
            thread.join().expect("it does not panic");
            assert!(cell.copy(20, &mut copy));
            assert_eq!((live(&copy), copy.allocated().objects), ((2, 200), 2));
        });
    }
}

#[test]
fn births_and_deaths_during_a_turn_add_up() {
    crate::sync::model(|| {
        let cell = Arc::new(StackCell::default());
        cell.born(&sample(0), 0);
        cell.born(&sample(0), 0);
        let threads = [(0, 5), (0, 20)].map(|(born, now)| {
            let cell = cell.clone();
            // One of them looked at the epoch long ago.
            thread::spawn(move || cell.died(&sample(born), now))
        });
        cell.born(&sample(20), 20);
        threads.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
        let mut copy = StackCopy::blank();
        assert!(cell.copy(20, &mut copy));
        assert_eq!(live(&copy), (1, 100));
        assert_eq!((copy.allocated().objects, copy.freed().objects), (3, 2));
        assert_eq!(copy.generations().iter().map(|generation| generation.died_samples).sum::<u64>(), 2);
    });
}

#[test]
fn nothing_seems_freed_that_was_not_allocated() {
    crate::sync::model(|| {
        let cell = Arc::new(StackCell::default());
        let theirs = cell.clone();
        let thread = thread::spawn(move || {
            theirs.born(&sample(0), 0);
            theirs.died(&sample(0), 0);
        });
        let mut copy = StackCopy::blank();
        cell.copy(0, &mut copy);
        assert!(copy.freed_is_at_most_allocated());
        thread.join().expect("it does not panic");
    });
}
