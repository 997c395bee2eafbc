//! What is known beforehand: bounds that were declared, lifetimes that were seen in earlier runs, and suppressions.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core::Bytes;
use serde::{Deserialize, Serialize};

/// A site that holds at most so much, or holds it for at most so long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// The end of the function's path, at a `::`.
    pub function: String,
    /// Its objects hold at most so much together.
    pub bytes_max: Option<Bytes>,
    /// None lives longer than this.
    pub lifetime_max: Option<Duration>,
}

/// A site that is not to be blamed, until a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suppression {
    /// The end of the function's path, at a `::`.
    pub function: String,
    /// Why.
    pub reason: String,
    /// From then on it is blamed again, in milliseconds since 1970.
    pub expires_unix_ms: u64,
}

/// What is known beforehand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// Bounds that were declared.
    pub bounds: Vec<Bound>,
    /// What is not to be blamed.
    pub suppressions: Vec<Suppression>,
    /// How long objects lived in earlier runs.
    pub lifetimes: Lifetimes,
}

/// The longest lifetimes that were ever seen to end, by site: so that a cache that keeps things for an hour is not
/// accused again in the first hour of each run.
///
/// It keeps [`Lifetimes::SITES_MAX`] sites, those with the longest lifetimes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetimes {
    /// The file's form; see [`Lifetimes::SCHEMA`].
    #[serde(default)]
    schema: String,
    longest_ms: BTreeMap<String, u64>,
}

impl Lifetimes {
    /// The schema of the file.
    pub const SCHEMA: &'static str = "plimsoll.lifetimes/1";
    /// The most sites.
    pub const SITES_MAX: usize = 4096;

    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(text: &str) -> Result<Lifetimes, String> {
        let mut read: Lifetimes =
            serde_json::from_str(text).map_err(|error| format!("no file of lifetimes: {error}"))?;
        if read.schema != Self::SCHEMA {
            return Err(format!(
                "it says `schema` \"{}\", and only \"{}\" is understood",
                crate::clean::line(&read.schema).chars().take(60).collect::<String>(),
                Self::SCHEMA
            ));
        }
        read.shorten();
        Ok(read)
    }

    /// The file's text.
    pub fn write(&self) -> String {
        let file = Lifetimes { schema: Self::SCHEMA.to_owned(), longest_ms: self.longest_ms.clone() };
        // Text and numbers, which can always be written.
        serde_json::to_string(&file).unwrap_or_default()
    }

    /// The longest lifetime that was seen to end at a site.
    pub fn longest(&self, site: &str) -> Option<Duration> {
        self.longest_ms.get(site).copied().map(Duration::from_millis)
    }

    /// An object of the site lived for at least this long and was freed.
    pub fn saw(&mut self, site: &str, lifetime: Duration) {
        let ms = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
        let longest = self.longest_ms.entry(site.to_owned()).or_default();
        *longest = ms.max(*longest);
        if self.longest_ms.len() > Self::SITES_MAX {
            self.shorten();
        }
    }

    /// Takes over what another saw.
    pub fn add(&mut self, other: &Lifetimes) {
        for (site, &ms) in &other.longest_ms {
            self.saw(site, Duration::from_millis(ms));
        }
    }

    fn shorten(&mut self) {
        while self.longest_ms.len() > Self::SITES_MAX {
            let Some(shortest) = self.longest_ms.iter().min_by_key(|(_, ms)| **ms).map(|it| it.0.clone())
            else {
                return;
            };
            self.longest_ms.remove(&shortest);
        }
    }
}

/// Whether a function's path ends with another, at a `::` or a whole word.
pub(super) fn is_meant(function: &str, by: &str) -> bool {
    function.strip_suffix(by).is_some_and(|rest| !by.is_empty() && (rest.is_empty() || rest.ends_with("::")))
}

impl Known {
    /// Why a site that grows is not to be blamed, if there is a reason.
    pub(super) fn excuse(&self, site: &SiteNow<'_>) -> Option<String> {
        let suppressed = self.suppressions.iter().find(|it| is_meant(site.function, &it.function));
        if let Some(it) = suppressed.filter(|it| site.unix_ms < it.expires_unix_ms) {
            return Some(format!("suppressed: {}", it.reason));
        }
        for bound in self.bounds.iter().filter(|bound| is_meant(site.function, &bound.function)) {
            if let Some(bytes_max) = bound.bytes_max.filter(|&max| site.live <= max) {
                return Some(format!("within its declared bound: {} of {bytes_max}", site.live));
            }
            if let Some(max) = bound.lifetime_max.filter(|&max| site.observed <= max) {
                return Some(format!("declared to live for up to {max:?}, which has not passed yet"));
            }
        }
        let longest = self.lifetimes.longest(site.key)?;
        (site.observed <= longest)
            .then(|| format!("in an earlier run its objects lived for {longest:?} before they were freed"))
    }
}

/// A site as far as an excuse is concerned.
pub(super) struct SiteNow<'a> {
    pub(super) function: &'a str,
    /// By which its lifetimes are kept.
    pub(super) key: &'a str,
    pub(super) live: Bytes,
    /// How old the oldest that is counted against it can be.
    pub(super) observed: Duration,
    pub(super) unix_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_kept_and_read_again() {
        let mut lifetimes = Lifetimes::default();
        lifetimes.saw("app::cache", Duration::from_secs(90));
        lifetimes.saw("app::cache", Duration::from_secs(30));
        let again = Lifetimes::read(&lifetimes.write()).expect("our own");
        assert_eq!(again.longest("app::cache"), Some(Duration::from_secs(90)));
        Lifetimes::read("{}").expect_err("no schema");
        let error = Lifetimes::read(r#"{"schema":"x/9","longest_ms":{}}"#).expect_err("another");
        assert!(error.contains("x/9"), "{error}");
    }

    #[test]
    fn no_more_sites_are_kept_than_may_be_and_the_long_lived_stay() {
        let mut lifetimes = Lifetimes::default();
        for site in 0..Lifetimes::SITES_MAX as u64 + 100 {
            lifetimes.saw(&format!("site {site}"), Duration::from_secs(site));
        }
        assert_eq!(lifetimes.longest_ms.len(), Lifetimes::SITES_MAX);
        assert_eq!(lifetimes.longest("site 99"), None);
        assert!(lifetimes.longest("site 4195").is_some());
    }

    #[test]
    fn a_function_is_meant_by_the_end_of_its_path() {
        assert!(is_meant("app::cache::put", "cache::put"));
        assert!(is_meant("put", "put"));
        assert!(!is_meant("app::input", "put"));
        assert!(!is_meant("app::input", ""));
    }

    #[test]
    fn a_suppression_ends_on_its_day() {
        let known = Known {
            suppressions: vec![Suppression {
                function: "put".to_owned(),
                reason: "known".to_owned(),
                expires_unix_ms: 1000,
            }],
            ..Known::default()
        };
        let site = |unix_ms| SiteNow {
            function: "app::put",
            key: "app::put",
            live: Bytes::new(1),
            observed: Duration::from_secs(1),
            unix_ms,
        };
        assert!(known.excuse(&site(999)).is_some());
        assert_eq!(known.excuse(&site(1000)), None);
    }
}
