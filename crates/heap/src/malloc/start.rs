//! How sampling begins in a program that was not written for it.

use std::fmt;
use std::io;
use std::sync::atomic::Ordering::Release;
use std::time::Duration;

use super::{Inner, Malloc};
use crate::capture;
use crate::cells::Cells;
use crate::engine::{Engine, engine};
use crate::os::{self, OutOfAddressSpace};
use crate::profiler::Interval;
use crate::range::{Range, SPAN_BYTES};
use crate::sampler;
use crate::shared::header::Header;
use crate::shared::home::{HandOver, Interpreter, Shared};
use crate::shared::memory::SharedMemory;
use crate::shared::named::Name;
use crate::spans::{REGION_BITS_MAX, REGION_BITS_MIN, REGIONS, Spans};
use crate::unwind;

/// What a process under `ulimit -v` can spare: this part of its address space.
const SPARE: u64 = 16;

/// What sampling is started with.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// How densely to sample.
    pub interval: Interval,
    /// The unit of ages: see [`plimsoll_core::heap::Generation`].
    pub epoch: Duration,
    /// The most different stacks.
    pub stacks_max: usize,
    /// The path of the program.
    pub program: &'a [u8],
    /// Its arguments, each ended by a zero byte.
    pub command: &'a [u8],
    /// Hands the tables to who records.
    pub hand_over: HandOver,
}

/// Why there is no sampling. The program runs as without.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// It was started before.
    Running,
    /// No address space for the tables or for sampled blocks.
    OutOfAddressSpace(OutOfAddressSpace),
    /// No memory that can be shared.
    Memory(io::Error),
    /// Nobody took the tables.
    HandOver(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("the heap is sampled already"),
            Self::OutOfAddressSpace(error) => error.fmt(f),
            Self::Memory(error) => write!(f, "no memory to share with the recorder: {error}"),
            Self::HandOver(error) => write!(f, "the recorder does not take the tables: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Running => None,
            Self::OutOfAddressSpace(error) => Some(error),
            Self::Memory(error) | Self::HandOver(error) => Some(error),
        }
    }
}

impl From<OutOfAddressSpace> for StartError {
    fn from(error: OutOfAddressSpace) -> Self {
        Self::OutOfAddressSpace(error)
    }
}

/// Starts sampling what goes through `heap`. To be called once, before the program's first thread. Allocates through
/// Rust's global allocator, which must not be `heap`.
///
/// # Errors
/// If there is no address space, no shared memory, or nobody who takes it.
pub fn start<I: Inner>(heap: &'static Malloc<I>, settings: &Settings<'_>) -> Result<(), StartError> {
    if engine().is_some() {
        return Err(StartError::Running);
    }
    let (memory, file) =
        SharedMemory::create(Shared::bytes(settings.stacks_max)).map_err(StartError::Memory)?;
    let header = Cells::<Header>::reserve_in(Some(&memory), 1)?;
    let epoch_ns = u64::try_from(settings.epoch.as_nanos()).unwrap_or(u64::MAX);
    let (range, spans) = reserve()?;
    let mut engine = Engine::reserve(epoch_ns, range, settings.stacks_max, Some(&memory))?;
    engine.spans = Some(spans);
    engine.shared = Some(Shared::reserve(memory, header, settings.stacks_max, settings.hand_over)?);
    let engine = engine.publish();
    unwind::refresh();
    capture::choose_rules();
    if let Some(shared) = &engine.shared {
        unwind::record_modules_in(shared.modules());
        shared.describe(engine, settings.program, settings.command);
    }
    (settings.hand_over)(&file).map_err(StartError::HandOver)?;
    heap.range_start.store(engine.range.start(), Release);
    sampler::start(engine.cost.choose(settings.interval));
    if let Some(shared) = &engine.shared {
        shared.tell_status(engine);
    }
    Ok(())
}

/// Address space for small and large samples, one behind the other: as much as there is.
fn reserve() -> Result<(Range, Spans), OutOfAddressSpace> {
    let spare = os::address_space_limit().map_or(u64::MAX, |limit| limit / SPARE);
    let mut bits = REGION_BITS_MAX;
    loop {
        // One region more, so that there is a start that is a multiple of it.
        let bytes = (REGIONS + 1) << bits;
        if bits > REGION_BITS_MIN && bytes as u64 > spare {
            bits -= 1;
            continue;
        }
        let reservation = match os::reserve(bytes) {
            Ok(reservation) => reservation,
            Err(_) if bits > REGION_BITS_MIN => {
                bits -= 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        let start = reservation.start();
        // SAFETY: it is one region longer than what is used of it.
        let start = unsafe { start.byte_add(start.align_offset(1 << bits)) };
        let range = Range::at(start, SPAN_BYTES.min(1 << bits), SPAN_BYTES)?;
        // SAFETY: the range has the first region, the spans have the others.
        let spans = unsafe { Spans::reserve(start, bits) }?;
        // It is the program's from here on, for as long as that runs.
        std::mem::forget(reservation);
        return Ok((range, spans));
    }
}

/// Has an interpreter's functions put into stacks. Nothing before [`start`].
pub fn set_interpreter(interpreter: Interpreter) {
    if let Some(shared) = engine().and_then(|engine| engine.shared.as_ref()) {
        shared.set_interpreter(interpreter);
    }
}

/// Has the recorder told something about this process's profile, in up to 256 bytes. Nothing before [`start`].
pub fn set_note(note: &str) {
    if let Some(shared) = engine().and_then(|engine| engine.shared.as_ref()) {
        shared.set_note(note);
    }
}

/// The address by which a place without one stands in stacks: for an [`Interpreter`]. `identity` is a hash of what it is
/// known by; `describe` is asked when it is new, inside `malloc`, and must not allocate. `None` if there is no room.
pub fn address_of<'a>(identity: u64, describe: impl FnOnce() -> Option<Name<'a>>) -> Option<u64> {
    let engine = engine()?;
    engine.shared.as_ref()?.address_of(engine, identity, describe)
}

/// To be called after something was unloaded: what was known of it is forgotten.
pub fn modules_changed() {
    if engine().is_some() {
        unwind::forget_rules();
    }
}
