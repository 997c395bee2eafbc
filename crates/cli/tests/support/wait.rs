//! Deadlines. A test that hangs says nothing; one that says what it waited for and what it saw last is half
//! repaired.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that a healthy service does at once, on the slowest machine that runs this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at something that nobody tells.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Looks until there is something; the error says what was there instead.
pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Result<T, String>) -> T {
    within(PATIENCE, what, look)
}

/// [`until`] with a time of its own.
pub(crate) fn within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        match look() {
            Ok(seen) => return seen,
            Err(seen) if started.elapsed() >= patience => {
                panic!("waited {patience:?} for {what}; at last: {seen}")
            }
            Err(_) => thread::sleep(LOOK_INTERVAL),
        }
    }
}

/// [`until`] a number is exactly this.
pub(crate) fn until_equal<N: PartialEq + std::fmt::Debug>(
    what: &str,
    wanted: N,
    mut look: impl FnMut() -> N,
) {
    until(what, || {
        let seen = look();
        if seen == wanted { Ok(()) } else { Err(format!("{seen:?} instead of {wanted:?}")) }
    });
}

/// Raises a flag when it is dropped. A test that fails while its threads go on would else wait for them for
/// ever.
pub(crate) struct Raise<'flag>(pub(crate) &'flag AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
