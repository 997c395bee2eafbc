//! One call that starts all of it.

use std::fmt;
use std::io;
use std::sync::Arc;

use plimsoll_heap::Profiler;

use crate::watcher::{Settings, Watcher};

/// A program whose heap is sampled and judged. Dropping it ends the judgement; sampling goes on until
/// [`Profiler::stop`].
#[derive(Debug)]
pub struct Watched {
    /// Who samples.
    pub profiler: Profiler,
    /// Who judges. Ends with the last of those who hold it.
    pub watcher: Arc<Watcher>,
}

/// Why it was not started.
#[derive(Debug)]
pub enum StartError {
    /// The heap is not sampled.
    Profiler(plimsoll_heap::StartError),
    /// No thread could be started; sampling goes on.
    Thread(io::Error),
}

/// Samples the heap as often as costs little, and judges it. The program must have declared
/// `#[global_allocator] static HEAP: Heap = Heap::system();`. If the heap is sampled already, that goes on.
///
/// # Errors
/// If allocations do not come through the [`Heap`](plimsoll_heap::Heap), or there is no address space or no thread.
pub fn start() -> Result<Watched, StartError> {
    start_with(plimsoll_heap::Settings::default(), Settings::default())
}

/// The same with settings.
///
/// # Errors
/// See [`start`].
pub fn start_with(sampling: plimsoll_heap::Settings, settings: Settings) -> Result<Watched, StartError> {
    let profiler = match Profiler::start(sampling) {
        Err(plimsoll_heap::StartError::Running) => Profiler::running(),
        started => Some(started.map_err(StartError::Profiler)?),
    };
    // It may have been stopped at this very moment.
    let Some(profiler) = profiler else {
        return Err(StartError::Profiler(plimsoll_heap::StartError::Running));
    };
    let watcher = Watcher::start(Arc::new(profiler), settings).map_err(StartError::Thread)?;
    Ok(Watched { profiler, watcher: Arc::new(watcher) })
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Profiler(error) => error.fmt(f),
            StartError::Thread(error) => {
                write!(f, "no thread for the verdict: {error}; raise the limit of threads (`ulimit -u`)")
            }
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StartError::Profiler(error) => Some(error),
            StartError::Thread(error) => Some(error),
        }
    }
}
