//! Every setting of the service, declared once in the file `table.rs`: from that one declaration come the
//! typed [`Settings`], the keys of `plimsoll.toml`, the environment names, the flags, `docs/limits.md` and
//! the listing of `plimsoll config`.
//!
//! A limit that was mistyped is a limit that is not there, and nobody notices before the night it was
//! for. So nothing is skipped over: an unknown name or a wrong type, in any of the three ways to set
//! something, is an error that names the place, and each value remembers where it came from.
//!
//! Words: a *key* is `hub.queue_events_max`, with its *section* `hub`; an [`Origin`] is where a value was
//! set; a *share* is a size that, unset, is a part of another setting ([`crate::plan`] computes it).

mod declare;
mod environment;
mod error;
mod file;
mod layers;
mod listing;
mod markdown;
mod table;
#[cfg(test)]
mod tests;
mod topics;
mod value;
mod words;

pub use declare::Entry;
pub use error::{Origin, SettingsError};
pub use file::FILE_BYTES_MAX;
pub use layers::{Given, Loaded, load};
pub use listing::Row;
pub use markdown::markdown;
pub use table::{
    HeapSettings, HttpSettings, HubSettings, IngestSettings, MonitorSettings, PoolSettings, PublishSettings,
    Settings, TABLE, VerdictSettings,
};
pub use topics::{RULES_MAX, TopicMatch, TopicQueue, TopicRule, TopicRules};
pub use words::{LogFormat, LogLevel, Policy, PoolMode, Sampling, Tracking};
