//! Signals in the middle of everything: a timer for each thread, and a handler that allocates, resizes, and frees what other
//! handlers allocated.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::atomic::{AtomicPtr, AtomicU64};

use crate::HEAP;

/// Handlers that do something: each interrupted instruction makes a stack of its own, and the profiler has room for only
/// so many.
const TICKS_MAX: u64 = 50_000;
/// How often each thread is interrupted.
const INTERVAL_NS: i64 = 1_000_000;
const SIGNAL: libc::c_int = libc::SIGUSR1;
/// What a block of a handler begins with: its size, and a word that says that it is one.
const HEAD_BYTES: usize = 16;
const MAGIC: u64 = 0x7469_636b_7469_636b;

/// Blocks between handlers.
static KEPT: [AtomicPtr<u8>; 32] = [const { AtomicPtr::new(std::ptr::null_mut()) }; 32];
static TICKS: AtomicU64 = AtomicU64::new(0);

pub(crate) fn count() -> u64 {
    TICKS.load(Relaxed).min(TICKS_MAX)
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("small")
}

extern "C" fn on_tick(_: libc::c_int) {
    let tick = TICKS.fetch_add(1, Relaxed);
    if tick >= TICKS_MAX {
        return;
    }
    // Spread over small ones, and some above 32 KiB.
    let size = HEAD_BYTES + (tick.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % 40_000;
    // SAFETY: the layout has a size; the head is within each block; blocks are used with their layout, and freed once,
    // by whoever took them out of their place.
    unsafe {
        let mut block = HEAP.alloc(layout(HEAD_BYTES));
        block = HEAP.realloc(block, layout(HEAD_BYTES), size);
        write(block, size);
        let place = &KEPT[tick as usize % KEPT.len()];
        free(place.swap(block, AcqRel));
    }
}

unsafe fn write(block: *mut u8, size: usize) {
    // SAFETY: the caller's block has a head, aligned to eight.
    unsafe {
        block.cast::<u64>().write(size as u64);
        block.cast::<u64>().add(1).write(MAGIC ^ size as u64);
    }
}

/// Frees what a handler kept, if it is something.
unsafe fn free(block: *mut u8) {
    if block.is_null() {
        return;
    }
    // SAFETY: the caller's block is one of a handler, and its own.
    unsafe {
        let size = block.cast::<u64>().read();
        assert_eq!(block.cast::<u64>().add(1).read(), MAGIC ^ size, "the handler's block was overwritten");
        HEAP.dealloc(block, layout(size as usize));
    }
}

/// Installs the handler.
pub(crate) fn handle() {
    // SAFETY: a zeroed struct is a valid one; the handler is of the type that the flags say.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_tick as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(libc::sigaction(SIGNAL, &raw const action, std::ptr::null_mut()), 0);
    }
}

/// Frees what the handlers kept. No thread is interrupted any more.
pub(crate) fn end() {
    for place in &KEPT {
        // SAFETY: taken out of its place.
        unsafe { free(place.swap(std::ptr::null_mut(), AcqRel)) };
    }
}

/// Interrupts this thread until it is dropped.
pub(crate) struct Ticks(libc::timer_t);

pub(crate) fn start() -> Ticks {
    // SAFETY: zeroed structs are valid ones; the timer is made before it is set.
    unsafe {
        let mut event: libc::sigevent = std::mem::zeroed();
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = SIGNAL;
        event.sigev_notify_thread_id = libc::gettid();
        let mut timer: libc::timer_t = std::ptr::null_mut();
        assert_eq!(libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer), 0);
        let every = libc::timespec { tv_sec: 0, tv_nsec: INTERVAL_NS };
        let times = libc::itimerspec { it_interval: every, it_value: every };
        assert_eq!(libc::timer_settime(timer, 0, &raw const times, std::ptr::null_mut()), 0);
        Ticks(timer)
    }
}

impl Drop for Ticks {
    fn drop(&mut self) {
        // SAFETY: it was made by `start`, and is deleted once.
        unsafe { libc::timer_delete(self.0) };
    }
}

/// No ticks on this thread until it is dropped.
pub(crate) struct Blocked(libc::sigset_t);

impl Blocked {
    pub(crate) fn new() -> Self {
        // SAFETY: the sets are initialised by the calls before they are used.
        unsafe {
            let (mut set, mut before) = (std::mem::zeroed(), std::mem::zeroed());
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, SIGNAL);
            assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before), 0);
            Self(before)
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the set is the one from before.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) };
    }
}
