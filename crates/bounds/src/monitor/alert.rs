//! What an alert says.

use std::fmt;

use plimsoll_core::Bytes;

use super::{Level, Usage};

/// One part of what is used, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// Which part: `budget.open.hub`.
    pub name: String,
    /// What it uses.
    pub used: Bytes,
    /// What it may use.
    pub limit: Bytes,
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {}", self.name, self.used, self.limit)
    }
}

/// The level changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// The level from now on.
    pub level: Level,
    /// One line for people: what happened, and who holds most.
    pub message: String,
    /// What is used, in percent of the limit.
    pub usage_percent: f64,
    /// The parts, as the source gave them.
    pub details: Vec<Detail>,
}

impl Alert {
    pub(super) fn new(before: Level, level: Level, usage_percent: f64, usage: Usage) -> Alert {
        let Usage { used, limit, details } = usage;
        let mut message = format!("memory {level} (was {before}): {used} of {limit}, {usage_percent:.1} %");
        if level > Level::Normal
            && let Some(most) = details.first()
        {
            message += &format!("; most by {most}");
        }
        Alert { level, message, usage_percent, details }
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
