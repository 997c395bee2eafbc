//! Why bytes were refused: who asked, what was there, who holds it, what to do.

use std::fmt;
use std::time::Duration;

use plimsoll_core::{Bytes, Site};

/// How many holders an error names.
pub const TOP_HOLDERS: usize = 5;

/// One live reservation, as errors and scope reports show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Path of the account that is charged: `budget/pool`.
    pub account: String,
    /// The name the reservation was made under.
    pub name: &'static str,
    /// What it holds now.
    pub bytes: Bytes,
    /// How long it has been held.
    pub age: Duration,
    /// The line that reserved it.
    pub site: Site,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holder { account, name, bytes, age, site } = self;
        write!(f, "{bytes} by {name} ({account}) for {:.1}s at {site}", age.as_secs_f64())
    }
}

/// An account without room, at the moment when it refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// What was asked for.
    pub asked: Bytes,
    /// Path of the account that has no room; it may be an ancestor of the one that was asked.
    pub account: String,
    /// That account's limit.
    pub limit: Bytes,
    /// What it holds.
    pub held: Bytes,
    /// What it could still give, if nobody were waiting.
    pub left: Bytes,
    /// How many wait in line.
    pub waiting: usize,
    /// The largest live reservations charged to it, at most [`TOP_HOLDERS`], largest first.
    pub top_holders: Vec<Holder>,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shortage { asked, account, limit, held, left, waiting, top_holders } = self;
        write!(f, "{asked} asked of {account}: {held} of {limit} held, {left} left, {waiting} waiting")?;
        for (nth, holder) in top_holders.iter().enumerate() {
            write!(f, "{} {holder}", if nth == 0 { "; held most by" } else { "," })?;
        }
        Ok(())
    }
}

/// Why a reservation was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReserveError {
    /// More than an account on the way to the root may ever hold. Waiting would not help.
    TooLarge {
        /// What was asked for.
        asked: Bytes,
        /// Path of the account whose limit is too small.
        account: String,
        /// Its limit.
        limit: Bytes,
    },
    /// There is no room at present, or others wait for it already.
    Full(Box<Shortage>),
    /// There was no room for as long as the caller would wait.
    TimedOut {
        /// How long it waited.
        waited: Duration,
        /// How things stood at the end.
        shortage: Box<Shortage>,
    },
    /// The line of waiters is full itself.
    TooManyWaiters {
        /// How many may wait.
        waiters_max: usize,
    },
    /// As many reservations live as may, whatever their size.
    TooManyReservations {
        /// How many may live.
        reservations_max: usize,
    },
    /// The scope has ended; nothing new is charged to it.
    Ended {
        /// Path of the ended scope.
        account: String,
    },
}

impl fmt::Display for ReserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReserveError::TooLarge { asked, account, limit } => write!(
                f,
                "{asked} asked of {account}, which may never hold more than {limit}: \
                 ask for less at a time, or raise that limit"
            ),
            ReserveError::Full(shortage) => write!(f, "no room: {shortage}"),
            ReserveError::TimedOut { waited, shortage } => {
                write!(f, "no room for {:.3}s: {shortage}", waited.as_secs_f64())
            }
            ReserveError::TooManyWaiters { waiters_max } => {
                write!(f, "{waiters_max} requests wait already, which is the most that may: try again later")
            }
            ReserveError::TooManyReservations { reservations_max } => write!(
                f,
                "{reservations_max} reservations live already, which is the most that may: \
                 reserve in larger pieces, or raise reservations_max"
            ),
            ReserveError::Ended { account } => {
                write!(f, "{account} has ended: reserve on an account that is still open")
            }
        }
    }
}

impl std::error::Error for ReserveError {}

/// Why an account could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// As many accounts and scopes are open as may be.
    TooManyAccounts {
        /// How many may be open.
        accounts_max: usize,
    },
    /// The tree would be deeper than [`DEPTH_MAX`](super::DEPTH_MAX).
    TooDeep {
        /// Path of the account that was to be the parent.
        parent: String,
    },
    /// The parent is a scope that has ended.
    Ended {
        /// Path of the ended scope.
        parent: String,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::TooManyAccounts { accounts_max } => {
                write!(f, "{accounts_max} accounts are open already, which is the most that may be")
            }
            OpenError::TooDeep { parent } => {
                write!(f, "{parent} is {} levels deep already, which is the most", super::DEPTH_MAX)
            }
            OpenError::Ended { parent } => write!(f, "{parent} has ended: open the account on a living one"),
        }
    }
}

impl std::error::Error for OpenError {}
