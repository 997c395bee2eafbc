//! Rules for single topics, the one setting that is a list of tables: `[[hub.topic]]`.
//!
//! A dashboard that wants only the newest number and an audit reader that must miss nothing read from
//! one hub; one queue length for both is wrong for one of them.

use plimsoll_core::Bytes;
use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::settings::error::{Mismatch, nearest};
use crate::settings::table::{HubSettings, Settings, TABLE};
use crate::settings::value::{Raw, Value};
use crate::settings::words::Policy;

/// How many rules there may be: a new topic is compared with each.
pub const RULES_MAX: usize = 100;

/// The longest topic, in bytes.
const TOPIC_BYTES_MAX: usize = 200;

/// The names inside a rule; all but the first are settings of the section `hub` too.
const NAMES: [&str; 4] = ["match", "queue_events_max", "queue_bytes_max", "policy"];

/// The rules, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicRules(Vec<TopicRule>);

/// What is different for the topics that it matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRule {
    /// The topics that are meant.
    pub topics: TopicMatch,
    /// In place of [`HubSettings::queue_events_max`].
    pub queue_events_max: Option<usize>,
    /// In place of [`HubSettings::queue_bytes_max`].
    pub queue_bytes_max: Option<Bytes>,
    /// In place of [`HubSettings::policy`].
    pub policy: Option<Policy>,
}

/// The topics that a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicMatch {
    /// This one.
    Exact(String),
    /// All that begin with this prefix, which ends in a slash.
    Under(String),
}

/// How far a reader of one topic may be behind, and what happens then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicQueue {
    /// In events.
    pub events_max: usize,
    /// In bytes of events.
    pub bytes_max: Bytes,
    /// What happens to one that is further behind.
    pub policy: Policy,
}

impl HubSettings {
    /// What holds for the readers of `topic`: the first rule that matches, and the section for the rest.
    pub fn queue_of(&self, topic: &str) -> TopicQueue {
        let rule = self.topic.as_slice().iter().find(|rule| rule.topics.matches(topic));
        TopicQueue {
            events_max: rule.and_then(|rule| rule.queue_events_max).unwrap_or(self.queue_events_max),
            bytes_max: rule.and_then(|rule| rule.queue_bytes_max).unwrap_or(self.queue_bytes_max),
            policy: rule.and_then(|rule| rule.policy).unwrap_or(self.policy),
        }
    }
}

impl TopicRules {
    /// The rules, in the order of the file.
    pub fn as_slice(&self) -> &[TopicRule] {
        &self.0
    }
}

impl TopicMatch {
    /// Reads a topic, or a prefix that ends in `/*`.
    fn read(text: &str) -> Option<TopicMatch> {
        let (topic, exact) = match text.strip_suffix("/*") {
            Some(prefix) => (prefix, false),
            None => (text, true),
        };
        let segment = |segment: &str| {
            !matches!(segment, "" | "." | "..")
                && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:-".contains(&b))
        };
        if topic.len() > TOPIC_BYTES_MAX || !topic.split('/').all(segment) {
            return None;
        }
        Some(if exact { TopicMatch::Exact(topic.into()) } else { TopicMatch::Under(format!("{topic}/")) })
    }

    /// Whether `topic` is meant. `a/*` means `a/b` and `a/b/c`, not `a`.
    pub fn matches(&self, topic: &str) -> bool {
        match self {
            TopicMatch::Exact(exact) => topic == exact,
            TopicMatch::Under(prefix) => topic.starts_with(prefix.as_str()),
        }
    }

    /// As it is written in the file.
    fn show(&self) -> String {
        match self {
            TopicMatch::Exact(exact) => exact.clone(),
            TopicMatch::Under(prefix) => format!("{prefix}*"),
        }
    }
}

impl TopicRule {
    /// Reads one table.
    fn read(table: &Spanned<DeValue<'_>>) -> Result<TopicRule, Mismatch> {
        let wrong = |name: &str, at: &Spanned<DeValue<'_>>, expected: String| Mismatch::Part {
            key: key_of(name),
            offset: at.span().start,
            found: Raw::Toml(at).found(),
            expected,
        };
        let Some(inside) = table.get_ref().as_table() else { return Err(Mismatch::Whole) };
        let mut topics = None;
        // The section's own readers know types and ranges; a rule borrows them on a copy of the defaults.
        let mut scratch = Settings::default();
        for (name, value) in inside {
            let name_text: &str = name.get_ref();
            if name_text == NAMES[0] {
                topics = value.get_ref().as_str().and_then(TopicMatch::read);
                if topics.is_none() {
                    return Err(wrong(name_text, value, MATCH_EXPECTED.into()));
                }
                continue;
            }
            let known = TABLE.iter().find(|entry| {
                entry.section() == "hub" && entry.name == name_text && NAMES.contains(&name_text)
            });
            let Some(entry) = known else {
                return Err(Mismatch::UnknownPart {
                    key: key_of(name_text),
                    offset: name.span().start,
                    nearest: nearest(name_text, '.', NAMES.iter().map(|name| name.to_string())),
                });
            };
            (entry.set)(&mut scratch, Raw::Toml(value))
                .map_err(|_| wrong(name_text, value, entry.expected(true)))?;
        }
        let topics = topics.ok_or_else(|| Mismatch::Part {
            key: key_of(NAMES[0]),
            offset: table.span().start,
            found: "nothing".into(),
            expected: MATCH_EXPECTED.into(),
        })?;
        let given = |name: &str| DeTable::contains_key(inside, name);
        Ok(TopicRule {
            topics,
            queue_events_max: given("queue_events_max").then_some(scratch.hub.queue_events_max),
            queue_bytes_max: given("queue_bytes_max").then_some(scratch.hub.queue_bytes_max),
            policy: given("policy").then_some(scratch.hub.policy),
        })
    }

    fn show(&self) -> String {
        let mut text = format!("match={}", self.topics.show());
        if let Some(events) = self.queue_events_max {
            text += &format!(" queue_events_max={}", events.show());
        }
        if let Some(bytes) = self.queue_bytes_max {
            text += &format!(" queue_bytes_max={}", bytes.show());
        }
        if let Some(policy) = self.policy {
            text += &format!(" policy={policy}");
        }
        text
    }
}

const MATCH_EXPECTED: &str =
    "a topic of at most 200 bytes or a prefix that ends in /*, such as \"stream/tests/*\"";

fn key_of(name: &str) -> String {
    format!("hub.topic.{name}")
}

impl Value for TopicRules {
    const WHAT: &'static str = "at most 100 tables";
    const EXAMPLE: &'static str = "[[hub.topic]]";

    fn read(raw: Raw<'_>) -> Result<TopicRules, Mismatch> {
        let Raw::Toml(value) = raw else { return Err(Mismatch::Whole) };
        let tables = value.get_ref().as_array().ok_or(Mismatch::Whole)?;
        if tables.len() > RULES_MAX {
            return Err(Mismatch::Whole);
        }
        tables.iter().map(TopicRule::read).collect::<Result<_, _>>().map(TopicRules)
    }

    fn show(&self) -> String {
        self.0.iter().map(TopicRule::show).collect::<Vec<_>>().join("; ")
    }

    fn json(&self) -> Json {
        let rule = |rule: &TopicRule| {
            json!({
                "match": rule.topics.show(),
                "queue_events_max": rule.queue_events_max,
                "queue_bytes_max": rule.queue_bytes_max.map(|bytes| bytes.as_u64()),
                "policy": rule.policy.map(Policy::word),
            })
        };
        self.0.iter().map(rule).collect()
    }

    fn quote(shown: &str) -> String {
        shown.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Result<TopicRules, Mismatch> {
        let document = DeTable::parse(text).expect("the test's TOML is well formed");
        TopicRules::read(Raw::Toml(&document.get_ref()["topic"]))
    }

    #[test]
    fn the_first_rule_that_matches_counts_and_the_section_gives_the_rest() {
        let text = "[[topic]]\nmatch = \"a/b\"\nqueue_events_max = 7\n\
                    [[topic]]\nmatch = \"a/*\"\nqueue_bytes_max = \"2MiB\"\npolicy = \"keep_latest\"\n";
        let hub = HubSettings { topic: rules(text).expect("good rules"), ..HubSettings::default() };
        let queue = |events_max, bytes_max, policy| TopicQueue { events_max, bytes_max, policy };
        assert_eq!(hub.queue_of("a/b"), queue(7, Bytes::mib(1), Policy::Evict));
        assert_eq!(hub.queue_of("a/b/c"), queue(100, Bytes::mib(2), Policy::KeepLatest));
        assert_eq!(hub.queue_of("a"), queue(100, Bytes::mib(1), Policy::Evict));
        assert_eq!(hub.queue_of("ab/c"), queue(100, Bytes::mib(1), Policy::Evict));
        assert_eq!(
            hub.topic.show(),
            "match=a/b queue_events_max=7; match=a/* queue_bytes_max=2MiB policy=keep_latest"
        );
    }

    #[test]
    fn what_cannot_be_a_topic_is_refused() {
        let long = "a".repeat(201);
        for bad in ["", "/*", "*", "a/", "a//b", "a/../b", ".", "a b", "a/*/b", "a*", "ä", &long] {
            let text = format!("[[topic]]\nmatch = \"{bad}\"\n");
            assert!(
                matches!(rules(&text), Err(Mismatch::Part { key, .. }) if key == "hub.topic.match"),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_wrong_part_is_named_with_its_place() {
        let text = "[[topic]]\nmatch = \"a\"\nqueue_events_max = 0\n";
        let Err(Mismatch::Part { key, offset, found, expected }) = rules(text) else { panic!("0 events") };
        assert_eq!(key, "hub.topic.queue_events_max");
        assert_eq!(&text[offset..], "0\n");
        assert_eq!(found, "the number `0`");
        assert_eq!(expected, "a whole number from 1 to 1000000, such as 100");

        let text = "[[topic]]\nmatch=\"a\"\npolcy=\"evict\"";
        let Err(Mismatch::UnknownPart { key, nearest, .. }) = rules(text) else { panic!("an unknown name") };
        assert_eq!((key.as_str(), nearest.as_deref()), ("hub.topic.polcy", Some("policy")));
        // A setting of the section that no rule has.
        let text = "[[topic]]\nmatch=\"a\"\nheartbeat=\"1s\"";
        assert!(matches!(rules(text), Err(Mismatch::UnknownPart { .. })));
        let text = "[[topic]]\npolicy = \"evict\"";
        assert!(matches!(rules(text), Err(Mismatch::Part { found, .. }) if found == "nothing"));
        assert_eq!(rules("topic = 3"), Err(Mismatch::Whole));
        assert_eq!(rules("topic = [3]"), Err(Mismatch::Whole));
        assert_eq!(rules(&"[[topic]]\nmatch = \"a\"\n".repeat(RULES_MAX + 1)), Err(Mismatch::Whole));
        assert!(rules(&"[[topic]]\nmatch = \"a\"\n".repeat(RULES_MAX)).is_ok());
    }
}
