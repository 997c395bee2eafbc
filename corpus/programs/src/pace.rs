//! Work at a given pace. A program that works as fast as it can would measure the machine, and one that catches up
//! after a pause would leak in jumps that are not its own.

use std::thread;
use std::time::{Duration, Instant};

/// Shorter sleeps are saved up: a thread that wakes ten thousand times a second does little else.
const SLEEP_MIN: Duration = Duration::from_millis(4);
/// What was missed for longer than this is left out.
const BEHIND_MAX: Duration = Duration::from_millis(500);

/// So many turns per second, evenly.
#[derive(Debug)]
pub struct Pace {
    between: Duration,
    due: Instant,
}

impl Pace {
    /// A pace of that many turns per second.
    pub fn per_second(turns: f64) -> Pace {
        Pace { between: Duration::from_secs_f64(1.0 / turns.max(1e-3)), due: Instant::now() }
    }

    /// Another pace from now on.
    pub fn change(&mut self, turns_per_s: f64) {
        self.between = Duration::from_secs_f64(1.0 / turns_per_s.max(1e-3));
    }

    /// Sleeps until the next turn is due.
    pub fn wait(&mut self) {
        let ahead = self.ahead();
        if ahead > SLEEP_MIN {
            thread::sleep(ahead);
        }
    }

    /// The same for tasks, which must not block their thread.
    pub async fn wait_async(&mut self) {
        let ahead = self.ahead();
        if ahead > SLEEP_MIN {
            tokio::time::sleep(ahead).await;
        }
    }

    /// Counts a turn, and says how far in the future it lies.
    fn ahead(&mut self) -> Duration {
        let now = Instant::now();
        self.due = (self.due + self.between).max(now.checked_sub(BEHIND_MAX).unwrap_or(now));
        self.due.saturating_duration_since(now)
    }
}
