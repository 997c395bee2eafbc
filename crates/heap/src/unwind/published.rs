//! The list of modules that every thread unwinds by, exchanged while they do.
//!
//! Readers are inside `malloc` and must not wait; the writer is nobody's hot path. A reader counts itself in,
//! takes the list, and counts itself out. The writer puts a new list in place and frees the old ones only
//! when it then sees nobody counted in: whoever comes later finds the new one.
//!
//! A reader may never come back, because the process forked while another thread was reading, or a thread was
//! ended in the middle. Then the old lists stay, at most [`RETIRED_MAX`]; after that the list no longer
//! follows what is loaded, and code that came later ends a stack.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize};

use super::modules::{Changes, Modules};
use super::records::ModuleRecords;
use super::{found, rules};

/// How many lists may wait for readers that do not come back. A list is some 200 bytes for each module.
const RETIRED_MAX: usize = 32;

static CURRENT: AtomicPtr<Modules> = AtomicPtr::new(std::ptr::null_mut());
/// How many threads, and signal handlers on top of them, are reading a list.
static READERS: AtomicUsize = AtomicUsize::new(0);
/// The process that is refreshing, or zero. Not a lock: nobody waits for it, and a child that inherited it
/// from a thread that it does not have takes it over.
static REFRESHING: AtomicU32 = AtomicU32::new(0);
/// Lists that were replaced; only who holds [`REFRESHING`] touches them.
static RETIRED: [AtomicPtr<Modules>; RETIRED_MAX] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; RETIRED_MAX];

/// Counts one reader in, and out when dropped.
struct Reader;

impl Reader {
    fn enter() -> Self {
        READERS.fetch_add(1, SeqCst);
        Self
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        READERS.fetch_sub(1, SeqCst);
    }
}

/// Hands the current list to `f`. Never waits, never allocates. `None` before the first [`refresh`].
pub(super) fn with_modules<R>(f: impl FnOnce(&Modules) -> R) -> Option<R> {
    let _reader = Reader::enter();
    // SAFETY: the pointer came from a box; the box is freed only after it was replaced and the count was seen
    // to be zero, and this thread has been in the count since before it read the pointer.
    let modules = unsafe { CURRENT.load(SeqCst).as_ref() };
    modules.map(f)
}

/// Brings the list up to date; to be called once at the start, before there can be rules, and
/// before every snapshot. Says whether it changed. Allocates and waits for the
/// dynamic loader: never from inside an allocation or a signal handler. Costs a microsecond if nothing was
/// loaded or unloaded; a second call at the same time does nothing.
pub(crate) fn refresh() -> bool {
    let own = std::process::id();
    let before = REFRESHING.load(SeqCst);
    if before == own || REFRESHING.compare_exchange(before, own, SeqCst, SeqCst).is_err() {
        return false;
    }
    if !found::can_ask() {
        found::look_for_glibc();
    }
    let changed = refresh_alone();
    REFRESHING.store(0, SeqCst);
    changed
}

fn refresh_alone() -> bool {
    free_retired();
    let current = CURRENT.load(SeqCst);
    // SAFETY: only this function frees lists, and it is alone.
    let known = unsafe { current.as_ref() };
    if known.is_some_and(|known| known.changes() == Changes::now()) {
        return false;
    }
    let Some(place) = RETIRED.iter().find(|place| place.load(Relaxed).is_null()) else { return false };
    let new = Modules::read();
    if known.is_some_and(|known| *known == new) {
        return false;
    }
    CURRENT.store(Box::into_raw(Box::new(new)), SeqCst);
    place.store(current, Relaxed);
    rules::empty();
    record();
    free_retired();
    true
}

/// Has all modules recorded there, those of the list at once: the present one and each that takes its place, and those
/// that are found in between. Neither allocates nor waits.
pub(crate) fn record_modules_in(records: &'static ModuleRecords) {
    found::record_in(records);
    record();
}

fn record() {
    if let Some(records) = found::records() {
        with_modules(|modules| records.note(modules));
    }
}

/// Frees the lists that nobody reads any more.
fn free_retired() {
    if READERS.load(SeqCst) != 0 {
        return;
    }
    for place in &RETIRED {
        let list = place.swap(std::ptr::null_mut(), Relaxed);
        if !list.is_null() {
            // SAFETY: it came from a box, was replaced before the count was seen to be zero, and was taken
            // out of its place, so nobody frees it twice.
            drop(unsafe { Box::from_raw(list) });
        }
    }
}
