//! The snapshots that a profiler keeps: the last few, and one to compare with.

use std::collections::VecDeque;
use std::sync::Arc;

use plimsoll_core::Bytes;
use plimsoll_core::heap::{HeapSnapshot, Module, StackProfile};

/// Snapshots within two limits, one for their number, one for their bytes. What is over either leaves, oldest first, and
/// is counted. The last one always stays.
#[derive(Debug)]
pub(crate) struct History {
    snapshots: VecDeque<(Arc<HeapSnapshot>, u64)>,
    bytes: u64,
    snapshots_max: usize,
    bytes_max: Bytes,
    pub(crate) forgotten: u64,
    pub(crate) baseline: Option<Arc<HeapSnapshot>>,
}

impl History {
    pub(crate) const fn new(snapshots_max: usize, bytes_max: Bytes) -> Self {
        Self { snapshots: VecDeque::new(), bytes: 0, snapshots_max, bytes_max, forgotten: 0, baseline: None }
    }

    pub(crate) fn push(&mut self, snapshot: Arc<HeapSnapshot>) {
        let bytes = bytes_of(&snapshot);
        self.snapshots.push_back((snapshot, bytes));
        self.bytes += bytes;
        while self.snapshots.len() > 1
            && (self.snapshots.len() > self.snapshots_max || self.bytes > self.bytes_max.as_u64())
        {
            if let Some((_, bytes)) = self.snapshots.pop_front() {
                self.bytes -= bytes;
                self.forgotten += 1;
            }
        }
    }

    /// Oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<HeapSnapshot>> {
        self.snapshots.iter().map(|(snapshot, _)| Arc::clone(snapshot)).collect()
    }
}

fn bytes_of(snapshot: &HeapSnapshot) -> u64 {
    let bytes = size_of::<HeapSnapshot>()
        + size_of_val(snapshot.addresses.as_slice())
        + size_of_val::<[StackProfile]>(&snapshot.stacks)
        + snapshot
            .modules
            .iter()
            .map(|module| size_of::<Module>() + module.path.len() + module.build_id.len())
            .sum::<usize>();
    bytes as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(addresses: usize) -> Arc<HeapSnapshot> {
        Arc::new(HeapSnapshot { addresses: vec![0; addresses], ..HeapSnapshot::default() })
    }

    #[test]
    fn the_oldest_leave_when_there_are_too_many_or_too_large_ones() {
        let mut history = History::new(3, Bytes::kib(64));
        for nth in 1..=5 {
            history.push(snapshot(nth));
        }
        let lengths = |history: &History| history.all().iter().map(|s| s.addresses.len()).collect::<Vec<_>>();
        assert_eq!((lengths(&history), history.forgotten), (vec![3, 4, 5], 2));
        history.push(snapshot(7000));
        assert_eq!((lengths(&history), history.forgotten), (vec![4, 5, 7000], 3));
        history.push(snapshot(8000));
        assert_eq!((lengths(&history), history.forgotten), (vec![8000], 6), "over the limit, but the last");
    }
}
