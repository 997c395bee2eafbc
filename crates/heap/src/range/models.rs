//! The races of free slots, each walked in every order that matters: no slot is handed out twice, and none is lost.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p plimsoll-heap --release --lib models::`. The range itself lies in memory
//! that loom's atomics do not fit into; its free slots and chunks are only ever changed through [`Bin`].

use std::sync::Arc;

use loom::thread;

use super::bin::{Bin, Links};
use crate::sync::{AcqRel, Acquire, AtomicU32};

/// Where the slots' links are, by number.
struct Table(Vec<AtomicU32>);

impl Links for Table {
    fn link(&self, slot: u32) -> &AtomicU32 {
        &self.0[slot as usize]
    }
}

struct World {
    bin: Bin,
    links: Table,
}

impl World {
    fn pop(&self) -> Option<u32> {
        self.bin.pop(&self.links)
    }

    fn push(&self, slot: u32) {
        self.bin.push(slot, &self.links);
    }
}

/// A bin in which these slots are free, the last on top.
fn free(slots: &[u32]) -> Arc<World> {
    let links = Table((0..8).map(|_| AtomicU32::new(0)).collect());
    let world = World { bin: Bin::default(), links };
    slots.iter().for_each(|&slot| world.push(slot));
    Arc::new(world)
}

/// All slots, those in hand and those that are still free: each once.
fn check_all(world: &World, in_hand: impl IntoIterator<Item = u32>, all: &[u32]) {
    let mut slots: Vec<u32> = in_hand.into_iter().chain(std::iter::from_fn(|| world.pop())).collect();
    slots.sort_unstable();
    assert_eq!(slots, all);
}

#[test]
fn a_slot_that_was_taken_and_given_back_meanwhile_is_noticed() {
    crate::sync::model(|| {
        let world = free(&[1, 2, 3]);
        let other = world.clone();
        let thread = thread::spawn(move || {
            // The top is the same again, what is under it is not.
            let (top, second) = (other.pop(), other.pop());
            top.into_iter().for_each(|slot| other.push(slot));
            second
        });
        let ours = world.pop();
        let theirs = thread.join().expect("it does not panic");
        check_all(&world, ours.into_iter().chain(theirs), &[1, 2, 3]);
    });
}

#[test]
fn two_threads_give_back_while_a_third_takes() {
    crate::sync::model(|| {
        let world = free(&[1]);
        let threads = [2, 3].map(|slot| {
            let world = world.clone();
            thread::spawn(move || world.push(slot))
        });
        let ours = world.pop();
        threads.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
        check_all(&world, ours, &[1, 2, 3]);
    });
}

/// Takes as [`super::Range`] does: a fresh slot, and a new chunk if the one that is being cut is used up.
fn take(world: &World, opened: &AtomicU32, slots: u32) -> (u32, u32) {
    loop {
        match world.bin.cut(|_| slots) {
            Ok(place) => return place,
            Err(used_up) => {
                let chunk = world.pop().map_or_else(|| opened.fetch_add(1, AcqRel), |number| number - 1);
                if world.bin.renew(used_up, chunk) {
                    return (chunk, 0);
                }
                // Somebody else was faster: kept for later.
                world.push(chunk + 1);
            }
        }
    }
}

#[test]
fn fresh_slots_are_cut_once_each_and_no_chunk_is_lost() {
    for slots in [1, 2] {
        crate::sync::model(move || {
            let world = free(&[]);
            let opened = Arc::new(AtomicU32::new(0));
            let (other, their_opened) = (world.clone(), opened.clone());
            let thread = thread::spawn(move || [(); 2].map(|()| take(&other, &their_opened, slots)));
            let ours = [(); 2].map(|()| take(&world, &opened, slots));
            let theirs = thread.join().expect("it does not panic");
            let mut places = [ours, theirs].concat();
            places.sort_unstable();
            places.dedup();
            assert_eq!(places.len(), 4, "{ours:?} {theirs:?}");
            // A chunk that was opened is being cut, was used up, or is spare.
            let mut chunks: Vec<u32> = places.iter().map(|&(chunk, _)| chunk).collect();
            chunks.dedup();
            chunks.extend(std::iter::from_fn(|| world.pop()).map(|number| number - 1));
            chunks.sort_unstable();
            assert_eq!(chunks, (0..opened.load(Acquire)).collect::<Vec<_>>());
        });
    }
}
