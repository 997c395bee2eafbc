//! What a judge says, and why.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::Bytes;

/// What is said of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Something leaks, by the evidence that is given.
    Leak,
    /// Nothing that was seen leaks.
    Clean,
    /// What was seen is not enough, or contradicts itself.
    Undecided,
}

impl Outcome {
    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Leak => "leak",
            Outcome::Clean => "clean",
            Outcome::Undecided => "undecided",
        }
    }
}

/// What is said of a site, or of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Grew for a while, and then most of that was freed, or as much is freed now as comes.
    Recovered,
    /// As much dies as grows old.
    Steady,
    /// Too early to say.
    Warming,
    /// Grows, but less and less, in one piece, or too little to judge. Nobody needs to be woken.
    Growing,
    /// Grows as a leak does.
    Suspect,
    /// Has grown as a leak does for a third of the time at least, and nothing speaks against it.
    Confirmed,
}

impl State {
    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            State::Warming => "warming",
            State::Steady => "steady",
            State::Growing => "growing",
            State::Suspect => "suspect",
            State::Confirmed => "confirmed",
            State::Recovered => "recovered",
        }
    }

    /// Whether it is blamed: suspect or confirmed.
    pub const fn is_blamed(self) -> bool {
        matches!(self, State::Suspect | State::Confirmed)
    }
}

/// In which way something grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Objects grow old, and none dies.
    Objects,
    /// One container becomes larger and larger.
    Container,
    /// More comes than goes: a queue whose reader is too slow, or a leak beside healthy objects of the same line.
    Backlog,
    /// It does not grow.
    None,
}

impl Kind {
    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Objects => "objects",
            Kind::Container => "container",
            Kind::Backlog => "backlog",
            Kind::None => "none",
        }
    }
}

/// One test that was applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// What is tested, in a word.
    pub name: &'static str,
    /// Whether a leak would look like that.
    pub passed: bool,
    /// What was found, in words and numbers.
    pub found: String,
}

/// A rate, with the interval in which it lies with 95 % confidence, in bytes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// The estimate.
    pub bytes_per_s: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// On what a state stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// In which way it grows.
    pub kind: Option<Kind>,
    /// The time that was looked at.
    pub window: Duration,
    /// How many samples the numbers come from.
    pub samples: u64,
    /// Old is what is older than this.
    pub old: Duration,
    /// How many sampled objects grew old in the window.
    pub old_objects: u64,
    /// How many old ones died in it.
    pub old_deaths: u64,
    /// Not more than this part of the old objects dies in a second, with 95 % confidence.
    pub death_rate_high_per_s: f64,
    /// How probable it is that chance alone lets so many more grow old than die, for the site alone.
    pub p_value: f64,
    /// The same as odds against chance that hold however often one looks: 20 is as good as a p of 0.05.
    pub e_value: f64,
    /// How the inflow changes with time `t`, as the exponent in `t^-x`: 0 is steady, 1 a logarithm; and its standard error.
    pub slowing: Option<(f64, f64)>,
    /// The tests, in the order in which they were applied.
    pub gates: Vec<Gate>,
}

/// One frame of an exemplar stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackFrame {
    /// The function, as it is shown.
    pub function: String,
    /// Its source file.
    pub file: Option<String>,
    /// The line in it.
    pub line: Option<u32>,
}

/// What makes several stacks one site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The same line of the program.
    Line,
    /// The same function of the program.
    Function,
    /// One way to the line, for others lead to it that are healthy.
    Stack,
}

impl Scope {
    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Scope::Line => "line",
            Scope::Function => "function",
            Scope::Stack => "stack",
        }
    }
}

/// Whose something is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The process, if it is one of this machine.
    pub pid: Option<i32>,
    /// What it runs, in a word.
    pub program: String,
}

/// What was watched, as whoever watched it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// A command line, a pid or an address.
    pub name: String,
    /// The process.
    pub pid: Option<i32>,
    /// With what it ended by itself, if it did.
    pub exit_code: Option<u8>,
}

/// How things stood at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// How long after the beginning.
    pub at: Duration,
    /// The time of day, in milliseconds since 1970.
    pub unix_ms: u64,
    /// What was resident, of all processes.
    pub resident: Bytes,
    /// What lived on their profiled heaps.
    pub heap_live: Bytes,
    /// How many processes ran.
    pub processes: usize,
}

/// One of several processes, in a line.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessLine {
    /// Which.
    pub owner: Owner,
    /// What is said of it; nothing if it was seen too shortly and is not the one that was started.
    pub outcome: Option<Outcome>,
    /// For how long it was observed.
    pub observed: Duration,
    /// How many readings there were.
    pub readings: u32,
    /// Whether its heap was profiled.
    pub has_heap: bool,
    /// What lived on the profiled heap at the end.
    pub heap_live: Bytes,
    /// What was resident at the end.
    pub resident_last: Bytes,
}

/// What is said of one place in the program.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteVerdict {
    /// The function to look at, closures folded into it.
    pub function: String,
    /// Its source file, as it is shown.
    pub file: Option<String>,
    /// The line in it.
    pub line: Option<u32>,
    /// What makes it one site.
    pub scope: Scope,
    /// What is said of it.
    pub state: State,
    /// It could not be decided, and it is not too small to matter.
    pub is_open: bool,
    /// What lives of it now.
    pub live: Bytes,
    /// How fast it grows.
    pub growth: Rate,
    /// Why.
    pub evidence: Evidence,
    /// When the limit will be reached at this rate, if one was given.
    pub limit_in: Option<Duration>,
    /// The stack with the most of it, leaf first.
    pub stack: Vec<StackFrame>,
    /// The process that it is in, where that was told: see [`super::several`].
    pub owner: Option<Owner>,
    /// The label of its samples, if they have one.
    pub label: Option<String>,
    /// Why it is not blamed although it grows: a bound, a known lifetime, a suppression.
    pub excused: Option<String>,
    /// What lived of it over time, in seconds and bytes: for a picture.
    pub history: Vec<(f64, u64)>,
}

/// How one part of the resident memory changed.
#[derive(Clone, Debug, PartialEq)]
pub struct PartChange {
    /// Its name: see [`plimsoll_core::heap::MemoryPart`].
    pub name: String,
    /// At the first reading.
    pub first: Bytes,
    /// At the last.
    pub last: Bytes,
    /// How fast it grows, over the second half.
    pub growth: Rate,
    /// What is said of it.
    pub state: State,
}

/// What is said of the process as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessVerdict {
    /// By its resident memory, what is not on the profiled heap.
    pub state: State,
    /// Resident at the first reading and at the last; zero if it was not measured.
    pub resident_first: Bytes,
    /// See `resident_first`.
    pub resident_last: Bytes,
    /// How fast resident memory grows.
    pub growth: Rate,
    /// What lives on the profiled heap.
    pub heap_live: Bytes,
    /// The parts, those that grew most first.
    pub parts: Vec<PartChange>,
    /// What was tested.
    pub gates: Vec<Gate>,
    /// Resident memory over time, in seconds and bytes: for a picture.
    pub history: Vec<(f64, u64)>,
}

/// The rule that most people use, beside ours: what grew by more than a threshold since the first reading.
#[derive(Clone, Debug, PartialEq)]
pub struct ThresholdRule {
    /// The threshold.
    pub threshold: Bytes,
    /// Two readings are needed.
    pub has_data: bool,
    /// The sites that grew by more, with by how much, most first.
    pub over: Vec<(String, Bytes)>,
}

/// Somebody who has a verdict on the process that asks. What floor 2 and 3 are handed.
pub trait VerdictSource: Send + Sync {
    /// The last one; `None` if it is too early for any.
    fn verdict(&self) -> Option<Arc<Verdict>>;
}

impl Verdict {
    /// About how many bytes it has.
    pub fn own_bytes(&self) -> u64 {
        let frame =
            |frame: &StackFrame| 48 + frame.function.len() + frame.file.as_ref().map_or(0, String::len);
        let site = |site: &SiteVerdict| {
            size_of::<SiteVerdict>()
                + site.stack.iter().map(frame).sum::<usize>()
                + site.history.len() * size_of::<(f64, u64)>()
                + site.evidence.gates.iter().map(|gate| size_of::<Gate>() + gate.found.len()).sum::<usize>()
        };
        let sites: usize = self.sites.iter().map(site).sum();
        (size_of::<Verdict>() + sites + self.process.history.len() * size_of::<(f64, u64)>()) as u64
    }
}

/// What is said of a process that was observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What is said of the whole.
    pub outcome: Outcome,
    /// Between 0 and 1: how sure. Of an undecided one how near it came to being decided.
    pub confidence: f64,
    /// For how long it was observed.
    pub observed: Duration,
    /// How many readings there were.
    pub readings: u32,
    /// One sample in this many bytes, at the end.
    pub interval: Bytes,
    /// Whether its heap was profiled, or only its resident memory seen.
    pub has_heap: bool,
    /// Of the process as a whole.
    pub process: ProcessVerdict,
    /// Of its sites: blamed ones first, then those that grow most.
    pub sites: Vec<SiteVerdict>,
    /// What could not be judged, and what would help, in sentences.
    pub gaps: Vec<String>,
    /// The rule that most people use.
    pub threshold: ThresholdRule,
    /// Each process, if there were several.
    pub processes: Vec<ProcessLine>,
    /// What was watched.
    pub target: Option<Target>,
    /// How things stood meanwhile, as it was shown.
    pub rows: Vec<Row>,
    /// What judging cost the process itself, if it was done in it.
    pub own: Option<OwnCost>,
}

/// What a judge inside a process costs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnCost {
    /// Readings that were taken.
    pub readings: u64,
    /// The time that all of them and their judgement took. The thread does nothing else, so this bounds its CPU time.
    pub spent: Duration,
    /// What it holds between two readings, in bytes: the series, the names and the last verdict.
    pub held_bytes: u64,
}
