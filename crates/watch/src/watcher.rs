//! The thread that reads and judges.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use plimsoll_core::Bytes;
use plimsoll_core::heap::{HeapSnapshot, SnapshotSource};
use plimsoll_symbols::{Limits, Symbolizer};
use plimsoll_verdict::Profile;
use plimsoll_verdict::judge::{
    self, Known, Lifetimes, Options, OwnCost, Reading, Series, SeriesLimits, State, Verdict, VerdictSource,
};

use crate::declared::declared;

/// How much of the past and of names is kept: see the head of the crate.
const NAMES_MAX: Bytes = Bytes::mib(1);
const ADDRESSES_MAX: usize = 4_096;

/// Who is told when something is blamed, or no longer.
pub type OnChange = Box<dyn FnMut(&Verdict) + Send>;

/// How a program is watched.
pub struct Settings {
    /// The longest time between two readings. Readings are closer in the beginning: a 64th of the time so far.
    pub interval: Duration,
    /// The shortest.
    pub interval_min: Duration,
    /// How it is judged.
    pub options: Options,
    /// What is known beforehand. What is declared with [`bounded!`](crate::bounded) is added.
    pub known: Known,
    /// Told on the watcher's thread when the sites that are blamed are others than before.
    pub on_change: Option<OnChange>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(60),
            interval_min: Duration::from_secs(5),
            // A service builds its caches and pools in its first minutes.
            options: Options { warm_up: Duration::from_secs(300), ..Options::default() },
            known: Known::default(),
            on_change: None,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("interval", &self.interval)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A program that is watched. Dropping it ends the thread and waits for that: up to the time of one reading.
pub struct Watcher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<Now>,
    /// Rung when the watcher is to end.
    end: Condvar,
}

#[derive(Default)]
struct Now {
    is_ending: bool,
    verdict: Option<Arc<Verdict>>,
    lifetimes: Lifetimes,
    cost: OwnCost,
}

impl Watcher {
    /// Begins to watch what `source` shows. The first reading is taken at once.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(source: Arc<dyn SnapshotSource>, settings: Settings) -> io::Result<Watcher> {
        let shared = Arc::new(Shared { state: Mutex::new(Now::default()), end: Condvar::new() });
        let work = Work {
            source,
            shared: shared.clone(),
            series: Series::new(SeriesLimits::SERVICE),
            symbolizer: Symbolizer::new(Limits {
                addresses_max: ADDRESSES_MAX,
                cache_max: NAMES_MAX,
                answer_max: NAMES_MAX,
                ..Limits::default()
            }),
            settings,
            blamed: BTreeSet::new(),
        };
        let thread = thread::Builder::new().name("plimsoll-watch".to_owned()).spawn(move || work.run())?;
        Ok(Watcher { shared, thread: Some(thread) })
    }

    /// The last verdict; `None` before the first, which comes with the second reading.
    pub fn verdict(&self) -> Option<Arc<Verdict>> {
        lock(&self.shared.state).verdict.clone()
    }

    /// The longest lifetimes that were seen to end, and those that were known before: to be kept for the next run.
    pub fn lifetimes(&self) -> Lifetimes {
        lock(&self.shared.state).lifetimes.clone()
    }

    /// What watching costs.
    pub fn cost(&self) -> OwnCost {
        lock(&self.shared.state).cost
    }
}

impl VerdictSource for Watcher {
    fn verdict(&self) -> Option<Arc<Verdict>> {
        Watcher::verdict(self)
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("cost", &self.cost()).finish_non_exhaustive()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        lock(&self.shared.state).is_ending = true;
        self.shared.end.notify_all();
        if let Some(thread) = self.thread.take() {
            // If it panicked it said so.
            let _ = thread.join();
        }
    }
}

/// What the thread has to itself.
struct Work {
    source: Arc<dyn SnapshotSource>,
    shared: Arc<Shared>,
    series: Series,
    symbolizer: Symbolizer,
    settings: Settings,
    /// The functions that are blamed.
    blamed: BTreeSet<String>,
}

impl Work {
    fn run(mut self) {
        loop {
            let began = Instant::now();
            let snapshot = self.source.snapshot();
            let is_later = self.series.add(&Reading::of_snapshot(&snapshot));
            if is_later && self.series.added() > 1 {
                self.judge(&snapshot);
            }
            drop(snapshot);
            let mut now = lock(&self.shared.state);
            now.cost.readings += 1;
            now.cost.spent += began.elapsed();
            let pause = self.pause();
            let (now, _) = self
                .shared
                .end
                .wait_timeout_while(now, pause, |now| !now.is_ending)
                .unwrap_or_else(PoisonError::into_inner);
            if now.is_ending {
                return;
            }
        }
    }

    fn pause(&self) -> Duration {
        let Settings { interval, interval_min, .. } = self.settings;
        (self.series.observed() / 64).clamp(interval_min.min(interval), interval)
    }

    fn judge(&mut self, snapshot: &HeapSnapshot) {
        let mut known = self.settings.known.clone();
        known.bounds.extend(declared());
        let nameless = judge::judge(&self.series, None, &known, &self.settings.options);
        // Lines may be suspicious of which no single stack is: whatever grows is worth a name.
        let is_quiet = nameless.sites.iter().all(|site| matches!(site.state, State::Steady | State::Warming));
        let (mut verdict, lifetimes) = if is_quiet {
            (nameless, Lifetimes::default())
        } else {
            let profile = self.named(snapshot);
            let verdict = judge::judge(&self.series, Some(&profile), &known, &self.settings.options);
            (verdict, judge::lifetimes(&self.series, Some(&profile)))
        };
        let blamed: BTreeSet<String> = verdict
            .sites
            .iter()
            .filter(|site| site.state.is_blamed())
            .map(|site| format!("{} {}", site.state.name(), site.function))
            .collect();
        if blamed != self.blamed {
            self.blamed = blamed;
            if let Some(on_change) = &mut self.settings.on_change {
                on_change(&verdict);
            }
        }
        let mut now = lock(&self.shared.state);
        now.cost.held_bytes = self.series.own_bytes() + self.symbolizer.cached_bytes() + verdict.own_bytes();
        verdict.own = Some(now.cost);
        now.verdict = Some(Arc::new(verdict));
        now.lifetimes.add(&self.settings.known.lifetimes);
        now.lifetimes.add(&lifetimes);
    }

    /// The stacks that hold old memory, with names.
    fn named(&mut self, snapshot: &HeapSnapshot) -> Profile {
        let active = self.series.active_stacks();
        let mut part = HeapSnapshot {
            stacks: Vec::new(),
            addresses: Vec::new(),
            modules: snapshot.modules.clone(),
            named: snapshot.named.clone(),
            ..HeapSnapshot::default()
        };
        for stack in snapshot.stacks.iter().filter(|stack| active.binary_search(&stack.id).is_ok()) {
            let first = part.addresses.len();
            part.addresses.extend_from_slice(snapshot.addresses_of(stack));
            let mut stack = stack.clone();
            stack.addresses = first..part.addresses.len();
            part.stacks.push(stack);
        }
        let names = self.symbolizer.resolve(&part);
        Profile::new(&part, &names)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
