//! Why the service did not start.

use std::fmt;

use plimsoll_bounds::budget::{OpenError, ReserveError};
use plimsoll_bounds::hub::HubError;
use plimsoll_bounds::monitor::ThresholdsError;
use plimsoll_http::server::ListenError;

use crate::plan::PlanError;

/// Why the service did not start. Each prints as one line that says what to do.
#[derive(Debug)]
pub enum StartError {
    /// The settings' limits do not fit into the memory limit.
    Plan(PlanError),
    /// The address is not loopback, and there is no access control yet.
    NotLoopback(std::net::SocketAddr),
    /// The address cannot be listened on.
    Listen(ListenError),
    /// The hub's limits contradict one another.
    Hub(HubError),
    /// The monitor's thresholds contradict one another.
    Thresholds(ThresholdsError),
    /// The monitor could not be given its callback.
    Callback(String),
    /// A part could not be charged to the budget.
    Budget(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Plan(error) => error.fmt(f),
            StartError::NotLoopback(addr) => write!(
                f,
                "{addr} can be reached from other machines, and there is no access control yet that would \
                 keep strangers out; listen on 127.0.0.1 or [::1], and let a proxy with authentication stand \
                 in front"
            ),
            StartError::Listen(error) => error.fmt(f),
            StartError::Hub(error) => error.fmt(f),
            StartError::Thresholds(error) => error.fmt(f),
            StartError::Callback(error) => f.write_str(error),
            StartError::Budget(error) => write!(f, "the parts do not fit the budget: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> StartError {
        StartError::Budget(error.to_string())
    }
}

impl From<ReserveError> for StartError {
    fn from(error: ReserveError) -> StartError {
        StartError::Budget(error.to_string())
    }
}
