//! The races of the table of large blocks, each walked in every order that matters: who owns a block finds it, once.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p plimsoll-heap --release --lib models::`.

use std::sync::Arc;

use loom::sync::atomic::AtomicUsize;
use loom::thread;

use super::*;

/// Addresses far enough apart; with one bucket in the first table they share it.
const ADDRESSES: [usize; 12] = {
    let mut addresses = [0; 12];
    let mut nth = 0;
    while nth < addresses.len() {
        addresses[nth] = 0x7f00_0000_0000 + nth * 0x9000;
        nth += 1;
    }
    addresses
};

fn sample(address: usize) -> Sample {
    Sample { stack: 3, born: 1, weight: 1.5, label: 0, grown: 2, size: address as u64 }
}

fn table(tables: usize) -> Arc<Large> {
    Arc::new(Large::reserve(BUCKET, tables).expect("loom's memory is the machine's"))
}

#[test]
fn a_block_that_another_thread_frees_is_found_there_once() {
    crate::sync::model(|| {
        let large = table(1);
        let handed_over = Arc::new(AtomicUsize::new(0));
        let (theirs, handed) = (large.clone(), handed_over.clone());
        let frees = thread::spawn(move || {
            let address = handed.load(Acquire);
            if address != 0 {
                assert_eq!(theirs.remove(address), Some(sample(address)));
                assert_eq!(theirs.remove(address), None);
            }
            address != 0
        });
        // Meanwhile somebody has a block in the same bucket, and perhaps the same place of it.
        let others = large.clone();
        let other = thread::spawn(move || {
            assert!(others.insert(ADDRESSES[1], &sample(ADDRESSES[1])));
            assert_eq!(others.remove(ADDRESSES[1]), Some(sample(ADDRESSES[1])));
        });
        assert!(large.insert(ADDRESSES[0], &sample(ADDRESSES[0])));
        handed_over.store(ADDRESSES[0], Release);
        let was_freed = frees.join().expect("it does not panic");
        other.join().expect("it does not panic");
        assert_eq!(large.remove(ADDRESSES[0]).is_some(), !was_freed);
    });
}

#[test]
fn two_threads_open_the_next_table_and_neither_loses_its_block() {
    crate::sync::model(|| {
        let large = table(2);
        for &address in &ADDRESSES[..BUCKET] {
            assert!(large.insert(address, &sample(address)));
        }
        let theirs = large.clone();
        let thread = thread::spawn(move || {
            assert!(theirs.insert(ADDRESSES[8], &sample(ADDRESSES[8])));
            assert_eq!(theirs.remove(ADDRESSES[0]), Some(sample(ADDRESSES[0])));
        });
        assert!(large.insert(ADDRESSES[9], &sample(ADDRESSES[9])));
        assert_eq!(large.remove(ADDRESSES[9]), Some(sample(ADDRESSES[9])));
        thread.join().expect("it does not panic");
        assert_eq!(large.remove(ADDRESSES[0]), None);
        for &address in &ADDRESSES[1..=BUCKET] {
            assert_eq!(large.remove(address), Some(sample(address)));
        }
    });
}

#[test]
fn one_place_is_left_and_two_want_it() {
    crate::sync::model(|| {
        let large = table(1);
        for &address in &ADDRESSES[..BUCKET - 1] {
            assert!(large.insert(address, &sample(address)));
        }
        let theirs = large.clone();
        let thread = thread::spawn(move || theirs.insert(ADDRESSES[8], &sample(ADDRESSES[8])));
        let ours = large.insert(ADDRESSES[9], &sample(ADDRESSES[9]));
        let theirs = thread.join().expect("it does not panic");
        assert!(ours ^ theirs, "one has it, the other is told");
        assert_eq!(large.remove(ADDRESSES[8]).is_some(), theirs);
        assert_eq!(large.remove(ADDRESSES[9]).is_some(), ours);
    });
}

#[test]
fn who_looks_in_passing_sees_an_address_with_its_own_sample() {
    crate::sync::model(|| {
        let large = table(1);
        let theirs = large.clone();
        let thread = thread::spawn(move || assert!(theirs.insert(ADDRESSES[0], &sample(ADDRESSES[0]))));
        large.visit(|address, seen| assert_eq!(seen, sample(address)));
        thread.join().expect("it does not panic");
    });
}
