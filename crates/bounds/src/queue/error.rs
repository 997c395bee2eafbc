//! Why an item was not sent or not received: what was asked, what was there, what to do.

use std::fmt;
use std::time::Duration;

use plimsoll_core::Bytes;

use crate::budget::ReserveError;

/// A queue without room, at the moment when it refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The queue's name.
    pub queue: &'static str,
    /// The weight for which there was no room, overhead included.
    pub asked: Bytes,
    /// How many items wait, and permits are out.
    pub items: usize,
    /// How many may.
    pub items_max: usize,
    /// What is held in all.
    pub bytes: Bytes,
    /// What may be.
    pub bytes_max: Bytes,
    /// How many items were delivered and are not let go yet.
    pub in_flight: usize,
    /// How many producers wait.
    pub waiting: usize,
    /// How long the oldest item has waited.
    pub oldest: Duration,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shortage { queue, asked, items, items_max, bytes, bytes_max, in_flight, waiting, oldest } = self;
        write!(
            f,
            "{asked} asked of queue {queue}: {items} of {items_max} items, {bytes} of {bytes_max}, \
             {in_flight} items in work, {waiting} producers waiting, oldest item {:.1}s",
            oldest.as_secs_f64()
        )
    }
}

/// Why there was no room for an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// More than the queue may ever hold. Waiting would not help.
    TooLarge {
        /// The weight, overhead included.
        asked: Bytes,
        /// What the queue may hold in all.
        bytes_max: Bytes,
        /// How many items it may hold.
        items_max: usize,
    },
    /// There is no room at present.
    Full(Box<Shortage>),
    /// There was no room for as long as the producer would wait.
    TimedOut {
        /// How long it waited.
        waited: Duration,
        /// How things stood at the end.
        shortage: Box<Shortage>,
    },
    /// The queue has room, its account has not.
    Budget(Box<ReserveError>),
    /// As many producers wait as may.
    TooManyWaiters {
        /// How many may wait.
        waiters_max: usize,
    },
    /// The item weighs more than the permit that it was sent with.
    HeavierThanPermit {
        /// The item's weight, overhead included.
        item: Bytes,
        /// What the permit holds.
        permit: Bytes,
    },
    /// The queue was closed.
    Closed,
    /// The last receiver has gone.
    NoReceiver,
    /// The queue was stopped; what waited in it was dropped.
    Stopped,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::TooLarge { asked, bytes_max, items_max } => write!(
                f,
                "an item of {asked} can never wait in a queue of {items_max} items and {bytes_max}: \
                 send it in parts, or raise the queue's limits"
            ),
            Refused::Full(shortage) => write!(f, "no room: {shortage}"),
            Refused::TimedOut { waited, shortage } => {
                write!(f, "no room for {:.3}s: {shortage}", waited.as_secs_f64())
            }
            Refused::Budget(error) => write!(f, "the queue has room, its account has not: {error}"),
            Refused::TooManyWaiters { waiters_max } => {
                write!(f, "{waiters_max} producers wait already, which is the most that may: try again later")
            }
            Refused::HeavierThanPermit { item, permit } => write!(
                f,
                "an item of {item} was sent with a permit for {permit}: reserve what the weigher says"
            ),
            Refused::Closed => write!(f, "the queue is closed: send to one that is open"),
            Refused::NoReceiver => write!(f, "the last receiver has gone: nobody would ever take the item"),
            Refused::Stopped => write!(f, "the queue was stopped: start a new one to go on"),
        }
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Refused::Budget(error) => Some(&**error),
            _ => None,
        }
    }
}

/// An item that was not sent, handed back with the reason.
#[derive(Clone, PartialEq, Eq)]
pub struct SendError<T> {
    /// The item.
    pub item: T,
    /// Why it was not sent.
    pub reason: Refused,
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<T> std::error::Error for SendError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.reason.source()
    }
}

/// Why nothing was received. The end of a closed queue is not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// Nothing waits at present, or others were promised what does.
    Empty,
    /// Nothing came for as long as the consumer would wait.
    TimedOut {
        /// How long it waited.
        waited: Duration,
    },
    /// As many consumers wait as may.
    TooManyWaiters {
        /// How many may wait.
        waiters_max: usize,
    },
    /// The queue was stopped; what waited in it was dropped.
    Stopped,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Empty => write!(f, "nothing waits in the queue: receive with patience, or try later"),
            RecvError::TimedOut { waited } => {
                write!(
                    f,
                    "nothing came for {:.3}s: receive again, or look at the producer",
                    waited.as_secs_f64()
                )
            }
            RecvError::TooManyWaiters { waiters_max } => {
                write!(f, "{waiters_max} consumers wait already, which is the most that may: try again later")
            }
            RecvError::Stopped => write!(f, "the queue was stopped: what waited was dropped and counted"),
        }
    }
}

impl std::error::Error for RecvError {}
