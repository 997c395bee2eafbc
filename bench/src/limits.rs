//! What must hold, fixed before it was measured: what the issue of each subject says under "It is done when".
//! Nothing else in this program knows a limit.

/// What one setup may cost on one kind of work. A setup or workload without an entry is shown and not judged.
pub(crate) struct CostLimit {
    /// The setups' names, as in the table.
    pub(crate) setups: &'static [&'static str],
    /// The workloads' names.
    pub(crate) workloads: &'static [&'static str],
    /// CPU time, as a multiple of the same program without profiling.
    pub(crate) cpu_ratio_max: f64,
    /// Instructions more than without it: per pair in tight loops, in percent for real work.
    pub(crate) instructions_max: Option<f64>,
}

/// Time and instructions, whatever allocator is inside.
pub(crate) const COST: [CostLimit; 3] = [
    CostLimit {
        setups: &["adaptive", "512 KiB"],
        workloads: &["json", "maps"],
        cpu_ratio_max: 1.02,
        instructions_max: Some(1.5),
    },
    CostLimit {
        setups: &["512 KiB"],
        workloads: &["tight1", "tight2"],
        cpu_ratio_max: 1.15,
        instructions_max: Some(12.0),
    },
    CostLimit {
        setups: &["every allocation"],
        workloads: &["json", "maps"],
        cpu_ratio_max: 3.0,
        instructions_max: None,
    },
];

/// CPU time with many live samples, as a multiple of that with none.
pub(crate) const LIVE_RATIO_MAX: f64 = 1.06;

/// Live samples of the snapshot that is judged.
pub(crate) const SNAPSHOT_SAMPLES: u64 = 100_000;
/// Different stacks in it.
pub(crate) const SNAPSHOT_STACKS: u64 = 5_000;
/// Time to copy it while two threads allocate, in microseconds.
pub(crate) const SNAPSHOT_COPY_US_MAX: f64 = 200.0;
/// The profiler's own memory for one live sample, in bytes.
pub(crate) const SAMPLE_BYTES_MAX: f64 = 64.0;
/// The profiler's own memory for one stack, in bytes.
pub(crate) const STACK_BYTES_MAX: f64 = 768.0;
/// How far what the profiler says of its own memory may be from what the kernel says, as a share.
pub(crate) const SELF_REPORT_SHARE_MAX: f64 = 0.05;

/// Page faults and peak resident memory, as a multiple of those without the wrapper.
pub(crate) const FIDELITY_RATIO_MAX: f64 = 1.02;
/// Faults that are nobody's fault: the first touch of the profiler's own tables. Only where a ratio of two
/// small numbers would say nothing.
pub(crate) const FIDELITY_FAULTS_SLACK: f64 = 256.0;
/// The same for resident memory, in bytes.
pub(crate) const FIDELITY_BYTES_SLACK: f64 = 2.0 * 1024.0 * 1024.0;

/// CPU time of programs under `plimsoll record --sample 512KiB`, as a multiple of the same program alone.
pub(crate) const PRELOAD_RATIO_MAX: [(&str, f64); 5] =
    [("redis", 1.06), ("python", 1.03), ("python, malloc", 1.06), ("node", 1.05), ("rust", 1.05)];
/// Time to follow a stack, warm, in these programs, in microseconds.
pub(crate) const CAPTURE_US_MAX: f64 = 1.0;
/// From fewer samples it is not judged: the start of the recording would be most of what is divided by them.
pub(crate) const CAPTURE_SAMPLES_MIN: f64 = 100_000.0;
