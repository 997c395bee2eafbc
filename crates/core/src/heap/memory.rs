//! What a process's resident memory consists of.

/// One named part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPart {
    /// `heap`, `allocator_slack`, `thread_stacks`, `files`, `profiler`, `other_anonymous`; of another process, slack is
    /// among the last, and what it shares without a file is `shared_memory`.
    pub name: &'static str,
    /// How much of it is resident, in bytes.
    pub resident_bytes: u64,
}

/// Resident memory, in parts that add up to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessMemory {
    /// All of it, as the kernel counts it.
    pub resident_bytes: u64,
    /// The parts. The heap's is an estimate from samples; the others are measured.
    pub parts: Vec<MemoryPart>,
}

impl ProcessMemory {
    /// The resident bytes of the part of that name.
    pub fn part(&self, name: &str) -> Option<u64> {
        self.parts.iter().find(|part| part.name == name).map(|part| part.resident_bytes)
    }
}
