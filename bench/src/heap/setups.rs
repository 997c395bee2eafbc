//! Who is measured against whom, on what work.

use crate::options::Options;
use crate::workers::{Around, Call, Frames};

/// How a workload is counted: what an operation is and what added instructions are compared to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing but allocating and freeing; an operation is one pair.
    Pairs,
    /// A program's work; added instructions are a share of its own.
    Real,
}

/// One kind of work, and how much of it.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    warm_up: u64,
    /// About a sixth of a second with glibc: short runs and many rounds, because noise comes in bursts.
    iterations: u64,
    /// Under callgrind, which takes fifty times as long.
    counted_warm_up: u64,
    counted_iterations: u64,
}

pub(super) const WORKS: [Work; 5] = [
    Work {
        name: "tight1",
        kind: Kind::Pairs,
        warm_up: 1_000_000,
        iterations: 15_000_000,
        counted_warm_up: 50_000,
        counted_iterations: 400_000,
    },
    Work {
        name: "tight2",
        kind: Kind::Pairs,
        warm_up: 1_000_000,
        iterations: 6_000_000,
        counted_warm_up: 50_000,
        counted_iterations: 200_000,
    },
    Work {
        name: "ring",
        kind: Kind::Pairs,
        warm_up: 500_000,
        iterations: 6_000_000,
        counted_warm_up: 50_000,
        counted_iterations: 200_000,
    },
    Work {
        name: "json",
        kind: Kind::Real,
        warm_up: 4,
        iterations: 14,
        counted_warm_up: 1,
        counted_iterations: 3,
    },
    Work {
        name: "maps",
        kind: Kind::Real,
        warm_up: 100,
        iterations: 600,
        counted_warm_up: 40,
        counted_iterations: 60,
    },
];

/// The work of that name.
pub(super) fn work(name: &str) -> &'static Work {
    WORKS.iter().find(|work| work.name == name).expect("a name out of the list above")
}

/// How much less work a slow setup gets, so that a round stays short; costs are for one operation anyway.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slowdown {
    pairs: u64,
    real: u64,
}

/// On what work a setup's instructions are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counting {
    All,
    /// Where each allocation is followed, tight loops are all profiler, and the clock tells as much.
    Real,
    /// Each allocation by an unwinder takes minutes under callgrind, and another process is not seen at all.
    Nothing,
}

/// Times a sixth of a second: see [`Setup`].
const SETTLING: u64 = 4;
const FAST: Slowdown = Slowdown { pairs: 1, real: 1 };

/// One allocator with one way of profiling.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) name: &'static str,
    pub(super) worker: &'static str,
    pub(super) mode: &'static str,
    around: Around,
    env: Option<(&'static str, &'static str)>,
    slowdown: Slowdown,
    /// What is done more before it is measured, as a multiple of that: the adaptive interval takes up to half a
    /// second to settle, and what it costs then is what it costs.
    settling: u64,
    counted: Counting,
}

const fn own(name: &'static str, worker: &'static str, mode: &'static str) -> Setup {
    Setup {
        name,
        worker,
        mode,
        around: Around::Nothing,
        env: None,
        slowdown: FAST,
        settling: 0,
        counted: Counting::All,
    }
}

/// Setups that are compared: the first is the base of the others.
#[derive(Debug)]
pub(super) struct Group {
    /// The allocator that does the work.
    pub(super) inside: &'static str,
    pub(super) frames: Frames,
    pub(super) setups: Vec<Setup>,
    pub(super) works: Vec<&'static Work>,
}

/// The wrapper sampling each allocation: the name is known to the limits.
pub(super) const EVERY: &str = "every allocation";
/// The wrapper as it is by default.
pub(super) const ADAPTIVE: &str = "adaptive";
/// The wrapper at the interval that the limits are about.
pub(super) const MEAN_512: &str = "512 KiB";

fn wrapper(worker: &'static str) -> [Setup; 5] {
    let every = own(EVERY, worker, "every");
    [
        own("off", worker, "off"),
        Setup { settling: SETTLING, ..own(ADAPTIVE, worker, "adaptive") },
        own(MEAN_512, worker, "mean:512"),
        own("64 KiB", worker, "mean:64"),
        Setup { slowdown: Slowdown { pairs: 8, real: 2 }, counted: Counting::Real, ..every },
    ]
}

/// Everybody, except who was left out.
pub(super) fn groups(options: &Options) -> Vec<Group> {
    let plain = own("base", "work_system", "plain");
    let jemalloc = own("base (profiling off)", "work_jemalloc", "plain");
    let jemalloc_on = Setup {
        env: Some(("_RJEM_MALLOC_CONF", "prof:true,lg_prof_sample:19")),
        ..own("jemalloc's, 512 KiB", "work_jemalloc", "on")
    };
    let dhat = Setup {
        slowdown: Slowdown { pairs: 100, real: 7 },
        counted: Counting::Nothing,
        ..own("dhat, every", "work_dhat", "every")
    };
    let heaptrack = Setup {
        around: Around::Heaptrack,
        slowdown: Slowdown { pairs: 50, real: 4 },
        counted: Counting::Nothing,
        ..own("heaptrack, every", "work_system", "plain")
    };
    let [_, _, mean_512, _, every] = wrapper("work_plimsoll");
    let all = || WORKS.iter().collect();
    let group = |inside, frames, base, setups: &[Setup], works| Group {
        inside,
        frames,
        setups: std::iter::once(base).chain(setups.iter().copied()).collect(),
        works,
    };
    let mimalloc = own("base", "work_mimalloc", "plain");
    let groups = [
        group("glibc", Frames::Pointers, plain, &wrapper("work_plimsoll"), all()),
        group("mimalloc", Frames::Pointers, mimalloc, &wrapper("work_plimsoll_mimalloc"), all()),
        group("jemalloc", Frames::Pointers, jemalloc, &[jemalloc_on], all()),
        // Beside their own base, so that they do not stretch the time between the others and theirs.
        group("glibc", Frames::Pointers, plain, &[dhat, heaptrack], all()),
        group("glibc", Frames::None, plain, &[mean_512, every], vec![work("json"), work("maps")]),
    ];
    let wanted = |setup: &Setup| options.wants_setup(&[setup.name, setup.worker]);
    let mut groups = Vec::from(groups);
    groups.iter_mut().for_each(|group| group.setups.retain(wanted));
    groups.retain(|group| group.setups.len() > 1);
    groups
}

impl Setup {
    /// The same by another name.
    pub(super) const fn named(self, name: &'static str) -> Setup {
        Setup { name, ..self }
    }

    /// Whether its instructions are counted on that work.
    pub(super) fn is_counted(&self, work: &Work) -> bool {
        match self.counted {
            Counting::All => true,
            Counting::Real => work.kind == Kind::Real,
            Counting::Nothing => false,
        }
    }

    /// One run of it. `kept` blocks live from before until after it.
    pub(super) fn call(&self, frames: Frames, work: &Work, options: &Options, kept: u64) -> Call {
        let less = match work.kind {
            Kind::Pairs => self.slowdown.pairs,
            Kind::Real => self.slowdown.real,
        };
        let less = if options.quick { less * 2 } else { less };
        // A single iteration is cold, however slow it is.
        let iterations = (work.iterations / less).max(1);
        let amounts = [(work.warm_up / less).max(1) + self.settling * work.iterations, iterations, kept];
        self.call_with(frames, work.name, self.mode, &amounts)
    }

    /// A run of it under callgrind, with `times` as many iterations as are counted. The mode may be another
    /// one: see `adaptive` in cost.
    pub(super) fn counted_call(&self, work: &Work, mode: &str, times: u64) -> Call {
        let amounts = [work.counted_warm_up, work.counted_iterations * times];
        let call = self.call_with(Frames::Pointers, work.name, mode, &amounts);
        Call { around: Around::Callgrind, ..call }
    }

    /// A run of a workload that is not in the list.
    pub(super) fn call_with(&self, frames: Frames, work: &str, mode: &str, amounts: &[u64]) -> Call {
        let amounts = amounts.iter().map(u64::to_string);
        let args = [work.to_owned(), mode.to_owned()].into_iter().chain(amounts).collect();
        Call { worker: self.worker, frames, around: self.around, env: self.env, args }
    }
}
