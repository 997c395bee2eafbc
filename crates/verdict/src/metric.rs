//! Which of a heap's numbers is meant: a picture of live bytes that is taken for one of allocated bytes sends
//! people after the wrong line.

use std::fmt;
use std::io;

use plimsoll_core::Bytes;
use plimsoll_core::heap::Amount;

use crate::profile::Stack;

/// One of the four amounts of a stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Bytes that were allocated and not yet freed, as of the snapshot.
    #[default]
    LiveBytes,
    /// Objects that were allocated and not yet freed, as of the snapshot.
    LiveObjects,
    /// Bytes that were allocated since the start.
    AllocatedBytes,
    /// Objects that were allocated since the start.
    AllocatedObjects,
}

impl Metric {
    /// All of them.
    pub const ALL: [Metric; 4] =
        [Metric::LiveBytes, Metric::LiveObjects, Metric::AllocatedBytes, Metric::AllocatedObjects];

    /// Its name in JSON and at the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Metric::LiveBytes => "live_bytes",
            Metric::LiveObjects => "live_objects",
            Metric::AllocatedBytes => "allocated_bytes",
            Metric::AllocatedObjects => "allocated_objects",
        }
    }

    /// Its name for people.
    pub const fn title(self) -> &'static str {
        match self {
            Metric::LiveBytes => "live bytes",
            Metric::LiveObjects => "live objects",
            Metric::AllocatedBytes => "allocated bytes",
            Metric::AllocatedObjects => "allocated objects",
        }
    }

    /// What follows a number of it, after which comes no noun: `live`, `allocated objects`.
    pub(crate) const fn noun(self) -> &'static str {
        match self {
            Metric::LiveBytes => "live",
            Metric::AllocatedBytes => "allocated",
            Metric::LiveObjects | Metric::AllocatedObjects => self.title(),
        }
    }

    /// The metric of that [`name`](Metric::name).
    pub fn of_name(name: &str) -> Option<Metric> {
        Metric::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// Whether it counts bytes and not objects.
    pub const fn is_bytes(self) -> bool {
        matches!(self, Metric::LiveBytes | Metric::AllocatedBytes)
    }

    /// Whether it counts what lives and not all that was allocated.
    pub const fn is_live(self) -> bool {
        matches!(self, Metric::LiveBytes | Metric::LiveObjects)
    }

    /// The objects and bytes of `stack` of which it is one.
    pub(crate) const fn amount_of(self, stack: &Stack) -> Amount {
        if self.is_live() { stack.live() } else { stack.allocated }
    }

    /// What it is of `stack`, in bytes or objects.
    pub const fn of(self, stack: &Stack) -> u64 {
        match self {
            Metric::LiveBytes => stack.live().bytes,
            Metric::LiveObjects => stack.live().objects,
            Metric::AllocatedBytes => stack.allocated.bytes,
            Metric::AllocatedObjects => stack.allocated.objects,
        }
    }

    /// `value` for people: `1.5MiB` or `12`.
    pub(crate) fn show(self, value: u64) -> String {
        if self.is_bytes() { Bytes::new(value).to_string() } else { value.to_string() }
    }
}

/// Why nothing was drawn.
#[derive(Debug)]
pub enum WriteError {
    /// The writer failed.
    Io(io::Error),
    /// The profile's source did not measure this: see [`crate::profile::Header::metrics`].
    NotMeasured {
        /// What was asked for.
        asked: Metric,
        /// What it has.
        measured: Vec<Metric>,
    },
    /// The metric is zero in every stack: there is nothing to draw.
    Nothing(Metric),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Io(error) => write!(f, "the output could not be written: {error}"),
            WriteError::NotMeasured { asked, measured } => {
                let there: Vec<&str> = measured.iter().map(|metric| metric.title()).collect();
                let there = if there.is_empty() { "nothing".to_owned() } else { there.join(", ") };
                write!(f, "the profile does not have {}; it has {there}: ask for one of these", asked.title())
            }
            WriteError::Nothing(metric) => write!(
                f,
                "there is nothing to draw: {} are zero in every stack; was the profiler running?",
                metric.title()
            ),
        }
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WriteError::Io(error) => Some(error),
            WriteError::NotMeasured { .. } | WriteError::Nothing(_) => None,
        }
    }
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        WriteError::Io(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_by_its_name() {
        for metric in Metric::ALL {
            assert_eq!(Metric::of_name(metric.name()), Some(metric));
        }
        assert_eq!(Metric::of_name("bytes"), None);
    }

    #[test]
    fn errors_say_what_was_asked_and_what_is_there() {
        let error = WriteError::NotMeasured { asked: Metric::LiveObjects, measured: vec![Metric::LiveBytes] };
        assert_eq!(
            error.to_string(),
            "the profile does not have live objects; it has live bytes: ask for one of these"
        );
    }
}
