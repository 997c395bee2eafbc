//! Why the hub said no: what was asked, what is allowed, what to do.

use std::fmt;

use plimsoll_core::Bytes;

use super::frame::EventTypeError;
use super::limits::LimitsError;
use crate::budget::OpenError;

/// Why a hub could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HubError {
    /// The limits make no sense.
    Limits(LimitsError),
    /// Its account could not be opened.
    Account(OpenError),
}

impl fmt::Display for HubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HubError::Limits(error) => write!(f, "limits of the hub: {error}"),
            HubError::Account(error) => write!(f, "account of the hub: {error}"),
        }
    }
}

impl std::error::Error for HubError {}

/// The hub has no room, and no history left to give up for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom {
    /// What was needed at least.
    pub asked: Bytes,
    /// What the hub holds.
    pub held: Bytes,
    /// What it may hold.
    pub limit: Bytes,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NoRoom { asked, held, limit } = self;
        write!(
            f,
            "no room for {asked}: the hub holds {held} of {limit} and has no more history to give up; "
        )?;
        if *held + *asked > *limit {
            f.write_str("use fewer topics and subscribers, or raise its limit")
        } else {
            f.write_str("the account above it is full: free memory elsewhere, or raise that limit")
        }
    }
}

/// Why an event was not published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishError {
    /// The event type cannot be written into a stream.
    EventType(EventTypeError),
    /// The event would not fit into the topic's ring if that were empty.
    TooLarge {
        /// Length of the framed event.
        asked: Bytes,
        /// What a framed event may have.
        allowed: Bytes,
    },
    /// The topic is new and as many exist as may.
    TooManyTopics {
        /// How many may exist.
        topics_max: usize,
    },
    /// There is no memory for it.
    NoRoom(NoRoom),
    /// The hub is closed.
    Closed,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublishError::EventType(error) => write!(f, "{error}"),
            PublishError::TooLarge { asked, allowed } => write!(
                f,
                "an event of {asked} with its framing, {allowed} are allowed: publish smaller pieces, or \
                 raise the topic limit"
            ),
            PublishError::TooManyTopics { topics_max } => too_many_topics(f, *topics_max),
            PublishError::NoRoom(no_room) => write!(f, "{no_room}"),
            PublishError::Closed => f.write_str(CLOSED),
        }
    }
}

impl std::error::Error for PublishError {}

/// Why a subscription was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscribeError {
    /// The topic is new and as many exist as may.
    TooManyTopics {
        /// How many may exist.
        topics_max: usize,
    },
    /// As many subscribers exist as may.
    TooManySubscribers {
        /// How many may exist.
        subscribers_max: usize,
    },
    /// There is no memory for its place.
    NoRoom(NoRoom),
    /// The hub is closed.
    Closed,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SubscribeError::TooManyTopics { topics_max } => too_many_topics(f, *topics_max),
            SubscribeError::TooManySubscribers { subscribers_max } => write!(
                f,
                "{subscribers_max} subscribers are here, which is the most that may be: come back when some \
                 have left"
            ),
            SubscribeError::NoRoom(no_room) => write!(f, "{no_room}"),
            SubscribeError::Closed => f.write_str(CLOSED),
        }
    }
}

impl std::error::Error for SubscribeError {}

const CLOSED: &str = "the hub is closed: the service is stopping";

fn too_many_topics(f: &mut fmt::Formatter<'_>, topics_max: usize) -> fmt::Result {
    write!(
        f,
        "{topics_max} topics exist, which is the most that may: use one of them, or wait until an idle one \
         expires"
    )
}
