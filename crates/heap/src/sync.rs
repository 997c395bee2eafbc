//! The atomics that the tables are made of: the processor's, or loom's when the models run.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, fence};

pub(crate) use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// Walks the orders of a race. At most three preemptions are tried unless `LOOM_MAX_PREEMPTIONS` says otherwise; bugs
/// of this kind need one or two.
#[cfg(all(test, loom))]
pub(crate) fn model(race: impl Fn() + Send + Sync + 'static) {
    model_with(3, race);
}

/// The same with so many preemptions, for long races.
#[cfg(all(test, loom))]
pub(crate) fn model_with(preemptions: usize, race: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.max_branches = 10_000;
    builder.check(race);
}
