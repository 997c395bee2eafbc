//! Why a buffer was refused or an access failed: what was asked, what was there, what to do.

use std::fmt;
use std::time::Duration;

use plimsoll_core::{Bytes, Site};

use super::stats::PoolStats;
use crate::budget::ReserveError;

/// How many holders an error names.
pub const TOP_SITES: usize = 5;

/// What one line of source holds of a pool now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteUse {
    /// The line.
    pub site: Site,
    /// How many leases.
    pub leases: u64,
    /// Their real size in all.
    pub bytes: Bytes,
    /// The age of the oldest.
    pub oldest: Duration,
}

impl fmt::Display for SiteUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SiteUse { site, leases, bytes, oldest } = self;
        write!(f, "{bytes} in {leases} leases by {site}, oldest {:.1}s", oldest.as_secs_f64())
    }
}

/// A pool without room, at the moment when it refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Exhausted {
    /// What was asked for.
    pub asked: Bytes,
    /// How long the caller waited; zero for a try.
    pub waited: Duration,
    /// The pool's numbers.
    pub stats: PoolStats,
    /// Who holds most, at most [`TOP_SITES`], largest first.
    pub top_sites: Vec<SiteUse>,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exhausted { asked, waited, stats, top_sites } = self;
        write!(f, "no buffer of {asked}")?;
        if !waited.is_zero() {
            write!(f, " after {:.3}s", waited.as_secs_f64())?;
        }
        write!(f, ": {stats}")?;
        for (nth, site) in top_sites.iter().enumerate() {
            write!(f, "{} {site}", if nth == 0 { "; held most by" } else { "," })?;
        }
        Ok(())
    }
}

/// Why no buffer was handed out.
#[derive(Clone, Debug, PartialEq)]
pub enum AcquireError {
    /// More than a buffer may ever be. Waiting would not help.
    TooLarge {
        /// What was asked for.
        asked: Bytes,
        /// What is allowed: the smaller of the limit for a buffer and the pool's own.
        allowed: Bytes,
    },
    /// There is no room now, or others wait for it already, and the caller would not wait.
    Exhausted(Box<Exhausted>),
    /// There was no room for as long as the caller would wait, or there was and the caller did not come for
    /// it before the leak timeout.
    TimedOut(Box<Exhausted>),
    /// The line of waiters is full itself.
    TooManyWaiters {
        /// How many may wait.
        waiters_max: usize,
    },
    /// The pool has room, but an account above it on the budget has not. Said at once: the pool waits for
    /// its own room only.
    Budget(ReserveError),
    /// The allocator had nothing to give although the limits allow it.
    OutOfMemory {
        /// What was asked for.
        asked: Bytes,
    },
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AcquireError::TooLarge { asked, allowed } => write!(
                f,
                "a buffer of {asked} was asked for, {allowed} is the most: \
                 ask for less at a time, or raise the limit for a buffer"
            ),
            AcquireError::Exhausted(exhausted) | AcquireError::TimedOut(exhausted) => exhausted.fmt(f),
            AcquireError::TooManyWaiters { waiters_max } => {
                write!(f, "{waiters_max} requests for a buffer wait already, the most that may: try later")
            }
            AcquireError::Budget(error) => {
                write!(f, "the pool has room, the budget above it has not: {error}")
            }
            AcquireError::OutOfMemory { asked } => {
                write!(f, "the system has no memory for a buffer of {asked}: lower the limits to what it has")
            }
        }
    }
}

impl std::error::Error for AcquireError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            AcquireError::Budget(error) => Some(error),
            _ => None,
        }
    }
}

/// The pool has taken the lease's room back; its bytes can no longer be reached through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The id of the lease, as in the leak report.
    pub lease: u64,
    /// The line that took it.
    pub site: Site,
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "lease {} taken at {} was revoked: it was held past its leak timeout or its owner is gone; \
             call touch() while it is in use, or take a new one",
            self.lease, self.site
        )
    }
}

impl std::error::Error for Revoked {}
