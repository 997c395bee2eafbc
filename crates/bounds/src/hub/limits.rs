//! What a hub may hold and how long it is patient, in one place, with the rules for single topics.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use plimsoll_core::Bytes;

use super::name::{TopicName, TopicNameError};
use super::policy::{Policy, QueueLimits};

/// How many rules for topics there may be. They are tried in order when a topic is made.
pub const TOPIC_RULES_MAX: usize = 100;

/// The limits of a hub.
///
/// Worst-case memory, all of it charged to the hub's account and so never above `limit`: for each topic
/// [`TOPIC_BYTES`](super::TOPIC_BYTES) and a ring of `topic_limit`, for each subscriber
/// [`SUBSCRIBER_BYTES`](super::SUBSCRIBER_BYTES). Beside it lie the batches that subscribers have taken and
/// not yet dropped: at most `bytes_max` of the last [`poll_batch`](super::Subscription::poll_batch) (or one
/// larger event) for each; whoever polls charges them.
#[derive(Clone, Debug)]
pub struct HubLimits {
    /// Bytes of all rings together, topics and places of subscribers included: the limit of the hub's
    /// account. Full, history is given up, oldest first. 0 holds nothing and refuses everything.
    pub limit: Bytes,
    /// Bytes one topic's ring may hold, [`EVENT_OVERHEAD_BYTES`](super::EVENT_OVERHEAD_BYTES) for each event
    /// included. Should be well above `queue_bytes_max`, or readers are overrun before they are over. 0
    /// refuses every event.
    pub topic_limit: Bytes,
    /// Events a subscriber may lag. At least 1.
    pub queue_events_max: usize,
    /// Bytes of frames a subscriber may lag; one event alone is always within. At least 1.
    pub queue_bytes_max: Bytes,
    /// What is done with a subscriber that lags more.
    pub policy: Policy,
    /// How long a subscriber may stand still over its limit before [`Policy::Evict`] sends it away.
    pub evict_after: Duration,
    /// Topics that may exist. One more is refused.
    pub topics_max: usize,
    /// How long a topic without readers lives after its last event; given up at most an eighth later.
    pub topic_idle: Duration,
    /// Subscribers on all topics together: a backstop behind the transport's own limit of connections.
    pub subscribers_max: usize,
    /// Topics with limits of their own; the first rule that matches counts. At most [`TOPIC_RULES_MAX`].
    pub rules: Vec<TopicRule>,
}

impl HubLimits {
    /// `limit` bytes, a quarter of it for one topic; 100 events or 1 MiB of lag, then 100 ms, then
    /// eviction; 1,000 topics that live an hour without readers; 4,096 subscribers; no rules.
    pub fn of(limit: Bytes) -> HubLimits {
        HubLimits {
            limit,
            topic_limit: limit.share(1, 4),
            queue_events_max: 100,
            queue_bytes_max: Bytes::mib(1),
            policy: Policy::Evict,
            evict_after: Duration::from_millis(100),
            topics_max: 1000,
            topic_idle: Duration::from_secs(3600),
            subscribers_max: 4096,
            rules: Vec::new(),
        }
    }

    pub(super) fn check(&self) -> Result<(), LimitsError> {
        if self.rules.len() > TOPIC_RULES_MAX {
            return Err(LimitsError::TooManyRules { rules: self.rules.len() });
        }
        let zero = |setting, rule| Err(LimitsError::Zero { setting, rule });
        if self.queue_events_max == 0 {
            return zero("queue_events_max", None);
        }
        if self.queue_bytes_max.is_zero() {
            return zero("queue_bytes_max", None);
        }
        for rule in &self.rules {
            let of_rule = || Some(rule.matching.to_string());
            if rule.queue_events_max == Some(0) {
                return zero("queue_events_max", of_rule());
            }
            if rule.queue_bytes_max == Some(Bytes::ZERO) {
                return zero("queue_bytes_max", of_rule());
            }
        }
        Ok(())
    }

    /// What a subscriber of this topic may lag.
    pub(super) fn queue(&self, topic: &TopicName) -> QueueLimits {
        let rule = self.rules.iter().find(|rule| rule.matching.matches(topic));
        QueueLimits {
            events_max: rule.and_then(|rule| rule.queue_events_max).unwrap_or(self.queue_events_max) as u64,
            bytes_max: rule.and_then(|rule| rule.queue_bytes_max).unwrap_or(self.queue_bytes_max),
            policy: rule.and_then(|rule| rule.policy).unwrap_or(self.policy),
        }
    }
}

/// Limits for the topics that match; what is `None` is as for all.
#[derive(Clone, Debug)]
pub struct TopicRule {
    /// For which topics.
    pub matching: TopicPattern,
    /// Instead of [`HubLimits::queue_events_max`].
    pub queue_events_max: Option<usize>,
    /// Instead of [`HubLimits::queue_bytes_max`].
    pub queue_bytes_max: Option<Bytes>,
    /// Instead of [`HubLimits::policy`].
    pub policy: Option<Policy>,
}

/// One topic by its name, or with `prefix/*` all below a prefix; `*` is all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPattern(Pattern);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    All,
    Exact(TopicName),
    Below(TopicName),
}

impl TopicPattern {
    fn matches(&self, topic: &TopicName) -> bool {
        match &self.0 {
            Pattern::All => true,
            Pattern::Exact(name) => name == topic,
            Pattern::Below(prefix) => {
                let rest = topic.as_str().strip_prefix(prefix.as_str());
                rest.is_some_and(|rest| rest.starts_with('/'))
            }
        }
    }
}

impl FromStr for TopicPattern {
    type Err = TopicNameError;

    fn from_str(text: &str) -> Result<TopicPattern, TopicNameError> {
        Ok(TopicPattern(match text.strip_suffix("/*") {
            _ if text == "*" => Pattern::All,
            Some(prefix) => Pattern::Below(TopicName::parse(prefix)?),
            None => Pattern::Exact(TopicName::parse(text)?),
        }))
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pattern::All => f.write_str("*"),
            Pattern::Exact(name) => write!(f, "{name}"),
            Pattern::Below(prefix) => write!(f, "{prefix}/*"),
        }
    }
}

/// Limits with which no hub can work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitsError {
    /// A limit of lag is 0: its subscribers could be given nothing.
    Zero {
        /// Which limit.
        setting: &'static str,
        /// The rule's pattern; `None` when it is the limit for all.
        rule: Option<String>,
    },
    /// There are more rules than [`TOPIC_RULES_MAX`].
    TooManyRules {
        /// How many there are.
        rules: usize,
    },
}

impl fmt::Display for LimitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LimitsError::Zero { setting, rule } => {
                write!(f, "{setting} is 0")?;
                if let Some(rule) = rule {
                    write!(f, " in the rule for {rule}")?;
                }
                f.write_str(": a subscriber must be allowed to lag by 1 at least, or it gets nothing")
            }
            LimitsError::TooManyRules { rules } => {
                write!(f, "{rules} rules for topics, {TOPIC_RULES_MAX} are allowed: join some with prefix/*")
            }
        }
    }
}

impl std::error::Error for LimitsError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(matching: &str, events: usize) -> TopicRule {
        TopicRule {
            matching: matching.parse().expect(matching),
            queue_events_max: Some(events),
            queue_bytes_max: None,
            policy: None,
        }
    }

    /// Proves S1.
    #[test]
    fn the_first_rule_that_matches_counts() {
        let mut limits = HubLimits::of(Bytes::mib(1));
        limits.rules = vec![rule("a/b", 1), rule("a/*", 2), rule("b", 3)];
        for (topic, events) in [("a/b", 1), ("a/c", 2), ("a/b/c", 2), ("a", 100), ("ab", 100), ("b", 3)] {
            let topic = TopicName::parse(topic).expect(topic);
            assert_eq!(limits.queue(&topic).events_max, events, "{topic}");
        }
        limits.rules.push(rule("*", 4));
        assert_eq!(limits.queue(&TopicName::parse("z").expect("valid")).events_max, 4);
        assert!("a*".parse::<TopicPattern>().is_err() && "/*".parse::<TopicPattern>().is_err());
    }

    #[test]
    fn refuses_limits_under_which_nobody_gets_anything() {
        let limits = HubLimits::of(Bytes::mib(1));
        assert_eq!(limits.check(), Ok(()));
        let zero = HubLimits { queue_events_max: 0, ..limits.clone() };
        let error = zero.check().expect_err("it is zero").to_string();
        assert!(error.starts_with("queue_events_max is 0: a subscriber must"), "{error}");
        let rules = HubLimits { rules: vec![rule("a/*", 0)], ..limits.clone() };
        let error = rules.check().expect_err("it is zero").to_string();
        assert!(error.starts_with("queue_events_max is 0 in the rule for a/*"), "{error}");
        let many = HubLimits { rules: vec![rule("a", 1); 101], ..limits };
        assert_eq!(many.check(), Err(LimitsError::TooManyRules { rules: 101 }));
    }
}
