//! A start whose limits multiplied out exceed the budget is refused, with the formula.
#![cfg(not(loom))]

use plimsoll_bounds::queue::{QueueLimits, fits};
use plimsoll_core::Bytes;

/// Proves Q1.
#[test]
fn a_start_that_could_not_keep_its_word_is_refused_with_the_formula() {
    let queue = QueueLimits { items_max: 100, bytes_max: Bytes::mib(8), waiters_max: 0 };
    let budget = Bytes::mib(64);
    for (workers, starts) in [(1, true), (4, true), (6, true), (7, false), (100, false)] {
        let plan = [("shared queue of all workers", queue.worst_case(workers)), ("pool", Bytes::mib(16))];
        assert_eq!(fits(&plan, budget).is_ok(), starts, "{workers} workers");
    }
    let plan = [("shared queue of 8 workers", queue.worst_case(8)), ("pool", Bytes::mib(16))];
    assert_eq!(
        fits(&plan, budget).expect_err("8 times 8 and 16 is 80").to_string(),
        "shared queue of 8 workers 64MiB + pool 16MiB = 80MiB, which is 16MiB more than the budget of 64MiB: \
         lower one of these limits, run fewer workers, or raise the budget"
    );
}
