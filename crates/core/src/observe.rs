//! The one trait through which everything bounded is seen.
//!
//! A limit that nobody can read is found out when it is hit. Every primitive of Plimsoll implements
//! [`Observe`] and registers once; the endpoints, the metrics, the dashboard and the monitor read the
//! [`Registry`] and need not know what they look at.
//!
//! Words: the *limit* is what may be, *used* is what is now, *peak* is the highest *used* since start,
//! *rejected* counts what was refused at the limit since start.

use std::fmt;
use std::sync::{Mutex, PoisonError, Weak};

/// What a [`Reading`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes of memory.
    Bytes,
    /// Things: events, connections, topics, waiters.
    Items,
}

impl Unit {
    /// The unit's name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Unit::Bytes => "bytes",
            Unit::Items => "items",
        }
    }
}

/// Something else that is counted at a limit, by reason: `evicted_stalled`, `reuses`. Since start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// The reason, in snake_case; a fixed word, so that the number of counters is known before it runs.
    pub name: &'static str,
    /// How often.
    pub value: u64,
}

/// One limit and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Which limit: `pool.bytes`, `hub.topics`.
    pub name: String,
    /// What the numbers count.
    pub unit: Unit,
    /// What may be, now; limits can change while a program runs.
    pub limit: u64,
    /// What is, now.
    pub used: u64,
    /// The highest `used` since start.
    pub peak: u64,
    /// How often something was refused, dropped or evicted at this limit since start.
    pub rejected: u64,
    /// What else is counted here, `rejected` broken down by reason among it.
    pub counters: Vec<Counter>,
}

/// Something bounded that can be looked at.
pub trait Observe: Send + Sync {
    /// Appends the present readings to `out`. Must not wait for anything but its own short lock.
    fn observe(&self, out: &mut Vec<Reading>);
}

/// Everything bounded in a program, held weakly: registering keeps nothing alive.
///
/// Entries whose object is gone are dropped at the next registration or reading. The registry holds at
/// most `observers_max` entries of two words each.
pub struct Registry {
    // Guards the list only; observers are called after it was copied and let go.
    observers: Mutex<Vec<Weak<dyn Observe>>>,
    observers_max: usize,
}

/// The registry holds as many observers as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistryFull {
    /// How many it may hold.
    pub observers_max: usize,
}

impl fmt::Display for RegistryFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the registry already shows {} bounded things, its limit; \
             observe a group of them through one object, or make the registry larger",
            self.observers_max
        )
    }
}

impl std::error::Error for RegistryFull {}

impl Registry {
    /// An empty registry for at most `observers_max` objects.
    pub const fn new(observers_max: usize) -> Registry {
        Registry { observers: Mutex::new(Vec::new()), observers_max }
    }

    /// Shows `observer` from now on, for as long as somebody else keeps it alive.
    ///
    /// # Errors
    /// [`RegistryFull`] when `observers_max` living objects are registered already.
    pub fn register(&self, observer: Weak<dyn Observe>) -> Result<(), RegistryFull> {
        let mut observers = self.observers.lock().unwrap_or_else(PoisonError::into_inner);
        observers.retain(|known| known.strong_count() > 0);
        if observers.len() >= self.observers_max {
            return Err(RegistryFull { observers_max: self.observers_max });
        }
        observers.push(observer);
        Ok(())
    }

    /// The readings of everything that is alive, sorted by name.
    ///
    /// Allocates in proportion to the number of readings. Not one moment for all: each object is
    /// consistent in itself.
    pub fn readings(&self) -> Vec<Reading> {
        let alive: Vec<_> = {
            let mut observers = self.observers.lock().unwrap_or_else(PoisonError::into_inner);
            observers.retain(|known| known.strong_count() > 0);
            observers.iter().filter_map(Weak::upgrade).collect()
        };
        let mut readings = Vec::new();
        for observer in alive {
            observer.observe(&mut readings);
        }
        readings.sort_by(|a, b| a.name.cmp(&b.name));
        readings
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("observers_max", &self.observers_max).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    struct One(&'static str);

    impl Observe for One {
        fn observe(&self, out: &mut Vec<Reading>) {
            out.push(Reading {
                name: self.0.to_owned(),
                unit: Unit::Items,
                limit: 1,
                used: 0,
                peak: 0,
                rejected: 0,
                counters: Vec::new(),
            });
        }
    }

    fn weak(one: &Arc<One>) -> Weak<dyn Observe> {
        let weak: Weak<One> = Arc::downgrade(one);
        weak
    }

    #[test]
    fn shows_the_living_by_name_and_keeps_nobody_alive() {
        let registry = Registry::new(8);
        let (b, a) = (Arc::new(One("b")), Arc::new(One("a")));
        registry.register(weak(&b)).expect("there is room");
        registry.register(weak(&a)).expect("there is room");
        let names = |registry: &Registry| -> Vec<String> {
            registry.readings().into_iter().map(|reading| reading.name).collect()
        };
        assert_eq!(names(&registry), ["a", "b"]);
        drop(b);
        assert_eq!(names(&registry), ["a"]);
    }

    #[test]
    fn is_itself_bounded_and_forgets_the_dead_first() {
        let registry = Registry::new(1);
        let first = Arc::new(One("first"));
        registry.register(weak(&first)).expect("there is room");
        let second = Arc::new(One("second"));
        let full = registry.register(weak(&second)).expect_err("it is full");
        assert_eq!(full, RegistryFull { observers_max: 1 });
        drop(first);
        registry.register(weak(&second)).expect("the dead one made room");
    }
}
