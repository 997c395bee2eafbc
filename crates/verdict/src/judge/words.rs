//! What was found in sentences, the same in text and on a page.

use plimsoll_core::Bytes;

use super::verdict::{Kind, ProcessVerdict, Rate, SiteVerdict, State};
use crate::text::table::span;

/// A rate as an hour's worth, which is what services are planned by.
fn per_hour(rate: &Rate) -> String {
    let hour = |per_s: f64| Bytes::new((per_s.max(0.0) * 3600.0) as u64);
    if rate.bytes_per_s <= 0.0 {
        return "it does not grow".to_owned();
    }
    format!("it grows by {} an hour ({} to {})", hour(rate.bytes_per_s), hour(rate.low), hour(rate.high))
}

impl ProcessVerdict {
    /// How its resident memory grows, where that says something.
    pub fn rate_in_words(&self) -> String {
        if self.state == State::Steady { "steady".to_owned() } else { per_hour(&self.growth) }
    }
}

impl SiteVerdict {
    /// What was found, in one sentence for a reader who does not know the rules.
    pub fn sentence(&self) -> String {
        let evidence = &self.evidence;
        let rate = per_hour(&self.growth);
        let old = span(u64::try_from(evidence.old.as_millis()).unwrap_or(u64::MAX));
        let what = match evidence.kind {
            Some(Kind::Container) => "a container became larger again and again and never smaller".to_owned(),
            Some(Kind::Backlog) => format!(
                "of {} sampled objects that became older than {old}, {} were freed, and each lives longer",
                evidence.old_objects, evidence.old_deaths
            ),
            _ => format!(
                "{} of {} sampled objects older than {old} were ever freed",
                evidence.old_deaths, evidence.old_objects
            ),
        };
        let limit = match self.limit_in {
            Some(left) => {
                let left = span(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
                format!("; at this rate the limit is reached in {left}")
            }
            None => String::new(),
        };
        format!("{} live; {what}; {rate}{limit}", self.live)
    }

    /// The first test that speaks against a leak, in its words.
    pub fn why_not(&self) -> String {
        if self.state == State::Warming {
            return "too early to say".to_owned();
        }
        match self.evidence.gates.iter().find(|gate| !gate.passed) {
            Some(gate) => format!("{}: {}", gate.name, gate.found),
            None => "as much dies as grows old".to_owned(),
        }
    }
}
