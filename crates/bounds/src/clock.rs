//! The clock that reads the machine's monotonic time.

use std::sync::Arc;
use std::time::Instant;

use plimsoll_core::{Clock, Tick};

/// Monotonic time since this clock was made. Stands still while the machine is suspended.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock that starts now.
    pub fn new() -> SystemClock {
        SystemClock { start: Instant::now() }
    }

    /// A clock that starts now, as the shared handle that constructors ask for.
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(SystemClock::new())
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Tick {
        Tick::from_start(self.start.elapsed())
    }
}
