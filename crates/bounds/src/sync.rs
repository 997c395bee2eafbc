//! Locks and atomics, the machine's or loom's, behind one set of names.
//!
//! Poisoning is passed over: every structure here is changed so that a panic between two steps leaves it
//! whole (callbacks and destructors run outside the locks), and a release that gave up because some other
//! thread panicked would turn one failure into a leak.

#[cfg(loom)]
use loom::sync as machine;
#[cfg(not(loom))]
use std::sync as machine;

use std::sync::PoisonError;

pub(crate) use machine::atomic;
pub(crate) use machine::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

/// A mutex whose `lock` cannot fail.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(machine::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(machine::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader-writer lock without poisoning.
#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(machine::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> RwLock<T> {
        RwLock(machine::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
