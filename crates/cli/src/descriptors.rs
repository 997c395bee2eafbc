//! Room for the connections among the process's file descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::exit::Failure;

/// What the service has open besides its connections: logs, the runtime, the listening socket.
const BESIDES: u64 = 64;

/// Raises the soft limit of open descriptors to what `connections` need, or says that it may not.
///
/// Found out at the start, because the thousandth client is too late.
pub(crate) fn make_room(connections: usize) -> Result<(), Failure> {
    let needed = connections as u64 + BESIDES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised = Rlimit { current: Some(needed), maximum: limit.maximum };
    let allowed = limit.maximum.is_none_or(|maximum| maximum >= needed);
    if allowed && setrlimit(Resource::Nofile, raised).is_ok() {
        return Ok(());
    }
    Err(Failure::could_not(format!(
        "{connections} connections need {needed} file descriptors, and this process may have {}: raise \
         `ulimit -n`, or lower --max-connections",
        limit.maximum.or(limit.current).unwrap_or_default()
    )))
}
