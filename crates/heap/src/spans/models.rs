//! The races of spans: two threads never have the same one, and what is kept resident is counted exactly.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p plimsoll-heap --release --lib models::`.

use std::sync::Arc;

use loom::thread;

use super::*;

/// Two spans of 32 KiB, one of 64.
const BITS: u32 = 16;
const SIZE: usize = LARGE_BYTES;

struct House {
    spans: Spans,
    _reservation: os::Reservation,
}

// SAFETY: the memory is only ever reached through the spans.
unsafe impl Send for House {}
// SAFETY: as above.
unsafe impl Sync for House {}

fn house() -> Arc<House> {
    let reservation = os::reserve(REGIONS << BITS).expect("loom's memory is the machine's");
    // SAFETY: reserved just now, and for this; models have no use for an alignment.
    let spans = unsafe { Spans::reserve(reservation.start(), BITS) }.expect("the same");
    Arc::new(House { spans, _reservation: reservation })
}

fn sample() -> Sample {
    Sample { stack: 3, born: 1, weight: 2.0, label: 0, grown: 0, size: SIZE as u64 }
}

/// What the free spans have resident, as their records say.
fn kept(spans: &Spans) -> usize {
    let region = &spans.regions[0];
    let dirty = region.records.iter().map(|record| record.dirty.load(Relaxed) as usize);
    dirty.sum()
}

#[test]
fn two_threads_have_different_spans_and_what_is_kept_is_counted() {
    crate::sync::model(|| {
        let house = house();
        let use_one = |house: &House| {
            let span = house.spans.take(SIZE, 16).expect("there are two");
            assert_eq!(house.spans.sample(&span), None, "it is nobody else's");
            house.spans.put(&span, &sample());
            assert_eq!(house.spans.sample(&span), Some(sample()));
            house.spans.give_back(&span, 0);
        };
        let theirs = house.clone();
        let other = thread::spawn(move || use_one(&theirs));
        use_one(&house);
        other.join().expect("it does not panic");
        // Both are free: what their records say is what is counted.
        assert_eq!(house.spans.kept_bytes.load(Relaxed), kept(&house.spans));
    });
}

#[test]
fn a_span_that_is_given_back_is_had_whole_by_who_takes_it() {
    crate::sync::model(|| {
        let house = house();
        let first = house.spans.take(SIZE, 16).expect("there are two");
        house.spans.put(&first, &sample());
        let theirs = house.clone();
        let frees = thread::spawn(move || theirs.spans.give_back(&first, 0));
        let second = house.spans.take(SIZE, 16).expect("there are two");
        // Taken from the free ones it says how much of it is not zero; cut fresh it is all zero.
        let expected = if second.block == first.block { SIZE } else { 0 };
        assert_eq!(second.dirty, expected);
        house.spans.put(&second, &sample());
        frees.join().expect("it does not panic");
        let free = if second.block == first.block { 0 } else { SIZE };
        assert_eq!(house.spans.kept_bytes.load(Relaxed), free);
    });
}
