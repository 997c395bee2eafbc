//! What a thread is working at, in one word: a route, a task and where it was spawned, a span.
//!
//! The stack of an allocation in asynchronous code shows who polled, not whose work it was. An integration says that:
//! it gives the work a label, and sets it while the work runs. A sample keeps the label of the moment in 4 bytes.
//!
//! Names are kept in one table with a fixed number of places, each of at most [`NAME_BYTES_MAX`]. When it is full, new
//! names become [`Label::OTHER`], which is counted; labels that exist go on working.

#[cfg(feature = "tracing")]
mod span;

use std::collections::HashMap;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use crate::thread;

#[cfg(feature = "tracing")]
pub use span::SpanLabels;

/// The most different labels of a process.
pub const LABELS_MAX: usize = 4096;
/// The longest name, in bytes; longer ones are cut.
pub const NAME_BYTES_MAX: usize = 200;

/// What a thread is working at. Four bytes, free to copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(u32);

#[derive(Default)]
struct Names {
    numbers: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
    refused: u64,
}

static NAMES: Mutex<Option<Names>> = Mutex::new(None);

impl Label {
    /// No label.
    pub const NONE: Self = Self(0);
    /// Any label for which there was no place.
    pub const OTHER: Self = Self(1);

    /// The label of that name: the same for the same name. Takes a lock and, the first time, allocates: make it once
    /// for each route or kind of task, not once for each request.
    pub fn new(name: &str) -> Self {
        let end = (0..=name.len().min(NAME_BYTES_MAX)).rev().find(|&end| name.is_char_boundary(end));
        let name = &name[..end.unwrap_or(0)];
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        let names = names.get_or_insert_default();
        if let Some(&number) = names.numbers.get(name) {
            return Self(number);
        }
        if names.names.len() == LABELS_MAX {
            names.refused += 1;
            return Self::OTHER;
        }
        // Numbers 0 and 1 are taken.
        let number = names.names.len() as u32 + 2;
        let name: Arc<str> = name.into();
        names.names.push(name.clone());
        names.numbers.insert(name, number);
        Self(number)
    }

    /// A label for the place in the source that calls this: where a task is spawned.
    #[track_caller]
    pub fn here(kind: &str) -> Self {
        let place = Location::caller();
        Self::new(&format!("{kind} {}:{}", place.file(), place.line()))
    }

    /// Labels the work of a task with the place that spawns it: `tokio::spawn(Label::task(async { … }))`.
    #[track_caller]
    pub fn task<F>(future: F) -> Labelled<F> {
        Self::here("task").on(future)
    }

    /// The label's name; empty for [`Label::NONE`].
    pub fn name(self) -> Arc<str> {
        match self {
            Self::NONE => "".into(),
            Self::OTHER => "(other labels)".into(),
            Self(number) => {
                let names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
                let name = names.as_ref().and_then(|names| names.names.get(number as usize - 2));
                name.cloned().unwrap_or_else(|| "".into())
            }
        }
    }

    /// How often a name had no place.
    pub fn refused() -> u64 {
        NAMES.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, |names| names.refused)
    }

    /// What this thread is labelled with now.
    pub fn current() -> Self {
        Self(thread::with(|thread| thread.label.get()))
    }

    /// Labels this thread until the guard is dropped; then it has the label that it had before.
    pub fn enter(self) -> Entered {
        Entered {
            before: thread::with(|thread| thread.label.replace(self.0)),
            not_send: std::marker::PhantomData,
        }
    }

    /// Labels whichever thread polls the future, while it does.
    pub const fn on<F>(self, future: F) -> Labelled<F> {
        Labelled { label: self, future }
    }

    pub(crate) const fn from_word(word: u32) -> Self {
        Self(word)
    }
}

/// See [`Label::enter`].
#[derive(Debug)]
#[must_use = "the label is taken off when this is dropped"]
pub struct Entered {
    before: u32,
    // The label is the thread's.
    not_send: std::marker::PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        thread::with(|thread| thread.label.set(self.before));
    }
}

/// See [`Label::on`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is polled"]
pub struct Labelled<F> {
    label: Label,
    future: F,
}

impl<F: Future> Future for Labelled<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _entered = self.label.enter();
        // SAFETY: the field is pinned whenever the whole is: it is never moved out, and there is no `Drop`.
        unsafe { self.map_unchecked_mut(|labelled| &mut labelled.future) }.poll(context)
    }
}

#[cfg(test)]
mod miri_tests {
    use super::*;

    #[test]
    fn a_label_is_on_while_its_work_runs_and_off_after() {
        let (outer, inner) = (Label::new("GET /a"), Label::new("job"));
        assert_eq!((Label::new("GET /a"), outer.name().as_ref()), (outer, "GET /a"));
        let entered = outer.enter();
        let seen = inner.on(async { Label::current() });
        let seen = std::pin::pin!(seen).poll(&mut Context::from_waker(std::task::Waker::noop()));
        assert_eq!(seen, Poll::Ready(inner));
        assert_eq!(Label::current(), outer);
        drop(entered);
        assert_eq!(Label::current(), Label::NONE);
        let task = Label::task(async { Label::current() });
        let place = format!("task {}:{}", file!(), line!() - 1);
        assert_eq!(&*task.label.name(), place);
        assert_eq!(Label::new(&"ä".repeat(200)).name().len(), NAME_BYTES_MAX);
    }
}
