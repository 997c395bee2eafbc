//! Which environment variables are ours, and which only look so.
//!
//! An unknown `PLIMSOLL_*` is an error: a limit with a mistyped name would not be set at all. Two kinds
//! are let pass. [`NOT_SETTINGS`] are read elsewhere. And Kubernetes gives every pod variables about the
//! services around it; a service that is called `plimsoll` would otherwise keep its own pods from
//! starting, with names that nobody wrote.

use std::ffi::OsStr;

use crate::settings::error::nearest;
use crate::settings::table::TABLE;

/// What every variable of ours begins with.
pub(crate) const PREFIX: &str = "PLIMSOLL_";

/// The variable that names the settings file when `--config` does not.
pub(crate) const CONFIG: &str = "PLIMSOLL_CONFIG";

/// Variables with our prefix that are no settings: the settings file, the program that tests run and how often, and what
/// `plimsoll record` tells the programs under it, of which this service may be one.
pub(crate) const NOT_SETTINGS: [&str; 6] =
    [CONFIG, "PLIMSOLL_BIN", "PLIMSOLL_RUNS", "PLIMSOLL_RECORD", "PLIMSOLL_SAMPLE", "PLIMSOLL_EPOCH_MS"];

/// What a variable is to us.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// Somebody else's.
    Foreign,
    /// The setting at this place of the table.
    Setting(usize),
    /// Ours by its name, and no setting.
    Unknown { nearest: Option<String> },
}

/// Finds out what the variable is.
pub(crate) fn variable(name: &OsStr, value: &OsStr) -> Variable {
    let name = name.to_string_lossy();
    let Some(own) = name.strip_prefix(PREFIX) else { return Variable::Foreign };
    if let Some(index) = TABLE.iter().position(|entry| entry.env().as_deref() == Some(&*name)) {
        return Variable::Setting(index);
    }
    if NOT_SETTINGS.contains(&&*name) || is_service_link(&name, &value.to_string_lossy()) {
        return Variable::Foreign;
    }
    // The prefix is alike in all of them and would make all of them alike.
    let known = TABLE.iter().filter_map(|entry| entry.env()?.strip_prefix(PREFIX).map(String::from));
    Variable::Unknown { nearest: nearest(own, '_', known).map(|own| format!("{PREFIX}{own}")) }
}

/// Whether Kubernetes (or a container link) made this variable for a service of our name:
/// `…_SERVICE_HOST`, `…_SERVICE_PORT`, `…_SERVICE_PORT_HTTP`, `…_PORT=tcp://…`, `…_PORT_7077_TCP`.
fn is_service_link(name: &str, value: &str) -> bool {
    let parts: Vec<&str> = name.split('_').collect();
    let has_port = parts.windows(3).any(|part| {
        part[0] == "PORT" && part[1].parse::<u16>().is_ok() && matches!(part[2], "TCP" | "UDP" | "SCTP")
    });
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && value.contains("://"))
        || has_port
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, value: &str) -> Variable {
        variable(OsStr::new(name), OsStr::new(value))
    }

    #[test]
    fn settings_are_found_and_mistypes_are_named() {
        assert!(matches!(of("PLIMSOLL_HUB_QUEUE_EVENTS_MAX", "1"), Variable::Setting(_)));
        for (name, meant) in [
            ("PLIMSOLL_HUB_QUEUE_EVENT_MAX", Some("PLIMSOLL_HUB_QUEUE_EVENTS_MAX")),
            ("PLIMSOLL_MEMORY_LIMITS", Some("PLIMSOLL_MEMORY_LIMIT")),
            ("PLIMSOLL_ZZZ", None),
            ("PLIMSOLL_", None),
            // Rules for topics are too long for a variable.
            ("PLIMSOLL_HUB_TOPIC", Some("PLIMSOLL_HUB_TOPIC_IDLE")),
        ] {
            let meant = meant.map(String::from);
            assert_eq!(of(name, "x"), Variable::Unknown { nearest: meant }, "{name}");
        }
    }

    #[test]
    fn what_is_not_ours_is_let_pass() {
        for (name, value) in [
            ("PATH", "/bin"),
            ("PLIMSOLLX", "1"),
            ("PLIMSOLL_BIN", "x"),
            ("PLIMSOLL_EPOCH_MS", "125"),
            ("PLIMSOLL_CONFIG", "x"),
            ("PLIMSOLL_SERVICE_HOST", "10.0.0.11"),
            ("PLIMSOLL_SERVICE_PORT", "7077"),
            ("PLIMSOLL_SERVICE_PORT_HTTP", "7077"),
            ("PLIMSOLL_PORT", "tcp://10.0.0.11:7077"),
            ("PLIMSOLL_PORT_7077_TCP", "tcp://10.0.0.11:7077"),
            ("PLIMSOLL_PORT_7077_TCP_ADDR", "10.0.0.11"),
            ("PLIMSOLL_METRICS_SERVICE_HOST", "10.0.0.12"),
        ] {
            assert_eq!(of(name, value), Variable::Foreign, "{name}");
        }
        assert!(matches!(of("PLIMSOLL_PORT", "7077"), Variable::Unknown { .. }), "somebody wrote that one");
    }
}
