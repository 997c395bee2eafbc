//! What the operating system says this process holds, against which every ledger is judged.

use plimsoll_core::Bytes;

/// The resident memory of this process now, or nothing where the system does not say.
///
/// On Linux read from `/proc/self/statm`: one short file, no walk over the mappings. Kernel memory held on
/// the process's behalf (socket buffers, page tables) is not part of it.
pub fn resident_memory() -> Option<Bytes> {
    memory_stats::memory_stats().map(|stats| Bytes::of_len(stats.physical_mem))
}

/// What the ledger declares beside what is resident.
///
/// The difference is code, stacks, the allocator's slack, and whatever holds memory without having asked.
/// When it grows while the declared part does not, something leaks outside the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Bytes reserved on the budget.
    pub declared: Bytes,
    /// Bytes resident, when the system says.
    pub resident: Option<Bytes>,
}

impl Declared {
    /// Resident bytes that no reservation explains; nothing when the system does not say, zero when pages
    /// were reserved but not yet touched.
    pub fn unexplained(&self) -> Option<Bytes> {
        self.resident.map(|resident| resident.saturating_sub(self.declared))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "asks the operating system")]
    fn a_running_process_is_resident() {
        let resident = resident_memory().expect("Linux says");
        assert!(resident > Bytes::kib(100), "{resident}");
        let declared = Declared { declared: Bytes::kib(1), resident: Some(resident) };
        assert_eq!(declared.unexplained(), Some(resident - Bytes::kib(1)));
    }
}
