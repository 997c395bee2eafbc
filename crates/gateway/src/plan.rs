//! The memory plan: how `memory_limit` is divided, and why a start is refused when it does not go round.
//!
//! Limits that are each reasonable multiply: a thousand connections, ten chunks for each body, a ring for
//! each topic. The sum is what the machine must have, and the moment to find out is the start, not the
//! first busy night. So the plan adds up the worst case of every part and refuses with the formula.
//!
//! ```text
//! memory_limit ┬ pool         pool.limit, or 1/4, at most 100MiB, at least one ingest
//!              ├ hub          hub.limit, or 3/8, or what is left; at least one event in 2/3 of it
//!              │ └ topic ring hub.topic_limit, or 2/3 of the hub
//!              ├ connections  (max_connections + http.api_connections) × 20KiB
//!              ├ headroom     1/16, for what must not fail
//!              └ spare        what no limit claims
//! ```
//!
//! Pure: the same settings give the same plan, and nothing of the machine is asked.

use std::fmt;

use plimsoll_core::Bytes;

use crate::settings::Settings;

/// What one connection holds outside pool and hub: its task, its two buffers and its timers.
pub const CONNECTION_BYTES: Bytes = Bytes::kib(20);

/// The window in which one ingest looks for the next cut.
pub const WINDOW_BYTES: Bytes = Bytes::kib(512);

/// The longest chunk that an ingest cuts; each chunk in work holds one buffer of this size.
pub const CHUNK_BYTES_MAX: Bytes = Bytes::kib(256);

/// How much longer an event can be than the body it was made from: in a body of nothing but line ends
/// each byte becomes `data: ` and a line end.
pub const EVENT_GROWTH_MAX: u64 = 7;

/// What an event has besides its data: its id, its type, and its place in the ring.
pub const EVENT_BYTES_EXTRA: Bytes = Bytes::kib(1);

/// The most that the pool takes of itself; more must be asked for with `pool.limit`.
pub const POOL_SHARE_MAX: Bytes = Bytes::mib(100);

/// The parts of `memory_limit` that pool, hub and headroom take, as numerator and denominator.
pub const POOL_SHARE: (u64, u64) = (1, 4);
/// See [`POOL_SHARE`].
pub const HUB_SHARE: (u64, u64) = (3, 8);
/// See [`POOL_SHARE`].
pub const HEADROOM_SHARE: (u64, u64) = (1, 16);
/// The part of the hub that one topic's ring may take.
pub const TOPIC_SHARE: (u64, u64) = (2, 3);

// Pool, hub and headroom together must leave something for the connections.
const _: () =
    assert!(POOL_SHARE.0 * 16 / POOL_SHARE.1 + HUB_SHARE.0 * 16 / HUB_SHARE.1 + HEADROOM_SHARE.0 < 16);
// The smallest window must fit into the smallest allowed pool.buffer_limit, and a chunk into the window.
const _: () = assert!(CHUNK_BYTES_MAX.as_u64() * 2 <= WINDOW_BYTES.as_u64());

/// The division of `memory_limit`. The first four and the headroom add up to no more than it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// All that is divided.
    pub memory_limit: Bytes,
    /// All buffers of the pool, idle ones included.
    pub pool: Bytes,
    /// The rings of all topics.
    pub hub: Bytes,
    /// All connections, streams and others.
    pub connections: Bytes,
    /// Kept for what must not fail: answers that say no, audit records, shutdown.
    pub headroom: Bytes,
    /// The largest single buffer: `pool.buffer_limit`, and never more than the pool.
    pub buffer: Bytes,
    /// The ring of one topic, inside `hub`.
    pub topic: Bytes,
    /// What one ingest holds of the pool when all its chunks are in work.
    pub ingest: Bytes,
    /// The largest event that `/publish` can make, with its frame.
    pub event: Bytes,
}

/// Why the settings cannot be had within `memory_limit`. Each prints as one line with the formula.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// The parts add up to more than there is.
    OverBudget {
        /// The parts as they would be; `hub` is the least that would do when it is unset.
        parts: Plan,
        /// Connections of both kinds.
        connections: u64,
        /// The smallest `memory_limit` that would do with these settings, in whole MiB.
        enough: Option<Bytes>,
        /// The flag that makes the largest part smaller.
        lower: &'static str,
    },
    /// `pool.limit` cannot hold one ingest.
    PoolTooSmall {
        /// The limit.
        pool: Bytes,
        /// What one ingest holds.
        ingest: Bytes,
        /// Its chunks in work.
        in_flight_max: usize,
    },
    /// `hub.topic_limit` is more than `hub.limit`.
    TopicOverHub {
        /// The ring of one topic.
        topic: Bytes,
        /// All rings.
        hub: Bytes,
    },
    /// The ring of a topic cannot hold one published event.
    EventOverTopic {
        /// The event.
        event: Bytes,
        /// The body it is made from.
        body: Bytes,
        /// The ring.
        topic: Bytes,
        /// The flag that makes the ring larger.
        raise: &'static str,
        /// The smallest value of that flag that would do, in whole MiB.
        enough: Bytes,
    },
}

impl Plan {
    /// Divides the memory limit of `settings`, or says what does not fit.
    pub fn new(settings: &Settings) -> Result<Plan, PlanError> {
        let plan = Plan::parts(settings, settings.memory_limit);
        if plan.pool < plan.ingest {
            let in_flight_max = settings.ingest.in_flight_max;
            return Err(PlanError::PoolTooSmall { pool: plan.pool, ingest: plan.ingest, in_flight_max });
        }
        if plan.topic > plan.hub {
            return Err(PlanError::TopicOverHub { topic: plan.topic, hub: plan.hub });
        }
        if plan.topic < plan.event {
            let (raise, enough) = match settings.hub.topic_limit {
                Some(_) => ("--hub-topic-limit", whole_mib(plan.event)),
                None => ("--hub-limit", whole_mib(hub_for(plan.event))),
            };
            let body = settings.publish.body_limit;
            return Err(PlanError::EventOverTopic {
                event: plan.event,
                body,
                topic: plan.topic,
                raise,
                enough,
            });
        }
        if plan.total() > plan.memory_limit {
            return Err(PlanError::OverBudget {
                connections: connections(settings),
                enough: Plan::enough(settings),
                lower: plan.lower(settings),
                parts: plan,
            });
        }
        Ok(plan)
    }

    /// How many ingests can hold all they need at the same time; the others wait for buffers.
    pub fn ingests_at_once(&self) -> u64 {
        self.pool.as_u64() / self.ingest.as_u64().max(1)
    }

    /// What no limit claims.
    pub fn spare(&self) -> Bytes {
        self.memory_limit.saturating_sub(self.total())
    }

    /// `settings` with every share replaced by the size that it came to.
    pub fn applied_to(&self, settings: &Settings) -> Settings {
        let mut settings = settings.clone();
        settings.pool.limit = Some(self.pool);
        settings.hub.limit = Some(self.hub);
        settings.hub.topic_limit = Some(self.topic);
        settings
    }

    /// The parts for a memory limit, whether or not they fit into it.
    fn parts(settings: &Settings, memory_limit: Bytes) -> Plan {
        let share = |(numerator, denominator)| memory_limit.share(numerator, denominator);
        let ingest = WINDOW_BYTES + CHUNK_BYTES_MAX * settings.ingest.in_flight_max as u64;
        let event = settings.publish.body_limit * EVENT_GROWTH_MAX + EVENT_BYTES_EXTRA;
        let connections = CONNECTION_BYTES * connections(settings);
        let headroom = share(HEADROOM_SHARE);
        let pool = settings.pool.limit.unwrap_or_else(|| share(POOL_SHARE).min(POOL_SHARE_MAX).max(ingest));
        let hub = settings.hub.limit.unwrap_or_else(|| {
            let left = memory_limit.saturating_sub(pool + connections + headroom);
            let least = settings.hub.topic_limit.unwrap_or_else(|| hub_for(event));
            share(HUB_SHARE).min(left).max(least)
        });
        let topic = settings.hub.topic_limit.unwrap_or_else(|| hub.share(TOPIC_SHARE.0, TOPIC_SHARE.1));
        let buffer = settings.pool.buffer_limit.min(pool);
        Plan { memory_limit, pool, hub, connections, headroom, buffer, topic, ingest, event }
    }

    fn total(&self) -> Bytes {
        self.pool + self.hub + self.connections + self.headroom
    }

    /// The smallest memory limit in whole MiB into which these settings fit. What the parts leave over
    /// never shrinks when the limit grows, as the shares together are less than one; so it can be halved.
    fn enough(settings: &Settings) -> Option<Bytes> {
        let fits = |mib: u64| {
            let plan = Plan::parts(settings, Bytes::mib(mib));
            plan.total() <= plan.memory_limit
        };
        let (mut least, mut most) = (1, 16 << 20);
        if !fits(most) {
            return None;
        }
        while least < most {
            let middle = least + (most - least) / 2;
            if fits(middle) { most = middle } else { least = middle + 1 }
        }
        Some(Bytes::mib(most))
    }

    /// The flag by which the largest part gets smaller.
    fn lower(&self, settings: &Settings) -> &'static str {
        let pool = if settings.pool.limit.is_some() { "--pool-limit" } else { "--ingest-in-flight-max" };
        let hub = match (settings.hub.limit, settings.hub.topic_limit) {
            (Some(_), _) => "--hub-limit",
            (None, Some(_)) => "--hub-topic-limit",
            (None, None) => "--publish-body-limit",
        };
        let parts = [(self.pool, pool), (self.hub, hub), (self.connections, "--max-connections")];
        parts.into_iter().max_by_key(|(size, _)| *size).map_or("--max-connections", |(_, flag)| flag)
    }
}

/// Connections of both kinds.
fn connections(settings: &Settings) -> u64 {
    settings.max_connections.saturating_add(settings.http.api_connections) as u64
}

/// The next whole MiB: a size to advise is written exactly, never rounded down to one that does not do.
fn whole_mib(size: Bytes) -> Bytes {
    Bytes::mib(size.as_u64().div_ceil(1 << 20))
}

/// The smallest hub of which one topic's share holds `event`.
fn hub_for(event: Bytes) -> Bytes {
    Bytes::new(event.as_u64().saturating_mul(TOPIC_SHARE.1).div_ceil(TOPIC_SHARE.0))
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanError::OverBudget { parts, connections, enough, lower } => {
                let (total, limit) = (parts.total(), parts.memory_limit);
                write!(
                    f,
                    "limits multiplied exceed the budget: pool {} + hub {} + connections {connections} × \
                     {CONNECTION_BYTES} = {} + headroom {} is {total}, over memory_limit {limit} by {}; ",
                    parts.pool,
                    parts.hub,
                    parts.connections,
                    parts.headroom,
                    total.saturating_sub(limit),
                )?;
                if let Some(enough) = enough {
                    write!(f, "raise --memory-limit to at least {enough}, or ")?;
                }
                write!(f, "lower {lower}, the largest part")
            }
            PlanError::PoolTooSmall { pool, ingest, in_flight_max } => write!(
                f,
                "the pool cannot hold one ingest: {WINDOW_BYTES} + ingest.in_flight_max {in_flight_max} × \
                 {CHUNK_BYTES_MAX} = {ingest}, and pool.limit is {pool}; raise --pool-limit to at least \
                 {}, or lower --ingest-in-flight-max",
                whole_mib(*ingest)
            ),
            PlanError::TopicOverHub { topic, hub } => write!(
                f,
                "one topic may hold more than all topics: hub.topic_limit {topic}, and hub.limit is {hub}; \
                 lower --hub-topic-limit, or raise --hub-limit"
            ),
            PlanError::EventOverTopic { event, body, topic, raise, enough } => write!(
                f,
                "the ring of a topic cannot hold one event: {EVENT_GROWTH_MAX} × publish.body_limit {body} + \
                 {EVENT_BYTES_EXTRA} = {event}, and one topic may hold {topic}; raise {raise} to at least \
                 {enough}, or lower --publish-body-limit"
            ),
        }
    }
}

impl std::error::Error for PlanError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut Settings)) -> Settings {
        let mut settings = Settings::default();
        change(&mut settings);
        settings
    }

    fn refused(change: impl FnOnce(&mut Settings)) -> String {
        Plan::new(&with(change)).expect_err("these settings do not fit").to_string()
    }

    #[test]
    fn the_defaults_fit_into_512_mib() {
        let plan = Plan::new(&Settings::default()).expect("the defaults fit");
        assert_eq!(plan.pool, Bytes::mib(100));
        assert_eq!(plan.hub, Bytes::mib(192));
        assert_eq!(plan.topic, Bytes::mib(128));
        assert_eq!(plan.headroom, Bytes::mib(32));
        assert_eq!(plan.connections, Bytes::kib(1064 * 20));
        assert_eq!(plan.ingest, Bytes::mib(3));
        assert_eq!(plan.ingests_at_once(), 33);
    }

    #[test]
    fn the_defaults_fit_into_64_mib_with_a_hub_of_what_is_left() {
        let plan = Plan::new(&with(|s| s.memory_limit = Bytes::mib(64))).expect("64MiB are enough");
        assert_eq!(plan.pool, Bytes::mib(16));
        assert_eq!(plan.connections, Bytes::kib(21_280));
        assert_eq!(plan.headroom, Bytes::mib(4));
        assert_eq!(plan.hub, Bytes::kib(64 * 1024 - 16 * 1024 - 21_280 - 4 * 1024));
        assert!(plan.hub < Bytes::mib(24), "3/8 did not fit");
        assert_eq!(plan.topic, plan.hub.share(2, 3));
        assert_eq!(plan.buffer, Bytes::mib(10));
        assert_eq!(plan.spare(), Bytes::ZERO);
    }

    /// Proves Q1. (The half about the start: limits that multiplied exceed the budget are refused, with the
    /// formula, and what the refusal advises does fit.)
    #[test]
    fn limits_that_multiplied_exceed_the_budget_are_refused_with_the_formula() {
        let change = |s: &mut Settings| {
            s.memory_limit = Bytes::mib(64);
            s.pool.limit = Some(Bytes::mib(100));
        };
        assert_eq!(
            refused(change),
            "limits multiplied exceed the budget: pool 100MiB + hub 2.6MiB + connections 1064 × 20KiB = \
             20.8MiB + headroom 4MiB is 127.4MiB, over memory_limit 64MiB by 63.4MiB; raise --memory-limit \
             to at least 132MiB, or lower --pool-limit, the largest part"
        );
        Plan::new(&with(|s| {
            change(s);
            s.memory_limit = Bytes::mib(132);
        }))
        .expect("the advice is right");
        Plan::new(&with(|s| {
            change(s);
            s.memory_limit = Bytes::mib(131);
        }))
        .expect_err("and it is the smallest");
    }

    #[test]
    fn a_limit_that_is_too_small_is_refused_with_the_smallest_that_would_do() {
        let text = refused(|s| s.memory_limit = Bytes::mib(1));
        assert!(text.contains("over memory_limit 1MiB by"), "{text}");
        assert!(
            text.contains("raise --memory-limit to at least 35MiB, or lower --max-connections"),
            "{text}"
        );
        Plan::new(&with(|s| s.memory_limit = Bytes::mib(35))).expect("35MiB are enough");
        Plan::new(&with(|s| s.memory_limit = Bytes::mib(34))).expect_err("34MiB are not");
        let few = |s: &mut Settings| {
            s.max_connections = 1;
            s.http.api_connections = 1;
            s.memory_limit = Bytes::new(1);
        };
        let text = refused(few);
        assert!(text.contains("raise --memory-limit to at least 7MiB"), "{text}");
    }

    #[test]
    fn too_many_connections_name_themselves() {
        let text = refused(|s| s.max_connections = 1_000_000);
        assert!(text.contains("connections 1000064 × 20KiB = 19.1GiB"), "{text}");
        assert!(text.contains("lower --max-connections, the largest part"), "{text}");
    }

    #[test]
    fn a_hub_that_is_too_large_names_itself() {
        let text = refused(|s| s.hub.limit = Some(Bytes::mib(500)));
        assert!(text.contains("hub 500MiB"), "{text}");
        assert!(text.contains("lower --hub-limit"), "{text}");
        let text = refused(|s| s.hub.topic_limit = Some(Bytes::mib(500)));
        assert!(text.contains("lower --hub-topic-limit"), "{text}");
    }

    #[test]
    fn a_pool_that_cannot_hold_one_ingest_is_refused() {
        let text = refused(|s| s.pool.limit = Some(Bytes::mib(2)));
        assert!(
            text.contains("512KiB + ingest.in_flight_max 10 × 256KiB = 3MiB, and pool.limit is 2MiB"),
            "{text}"
        );
        assert!(text.contains("raise --pool-limit to at least 3MiB"), "{text}");
        Plan::new(&with(|s| s.pool.limit = Some(Bytes::mib(3)))).expect("the advice is right");
    }

    #[test]
    fn an_unset_pool_grows_to_one_ingest() {
        let plan = Plan::new(&with(|s| s.ingest.in_flight_max = 1000)).expect("it fits");
        assert_eq!(plan.pool, plan.ingest);
    }

    #[test]
    fn rings_that_cannot_hold_one_event_are_refused() {
        let text = refused(|s| s.hub.topic_limit = Some(Bytes::mib(1)));
        assert!(text.contains("7 × publish.body_limit 256KiB + 1KiB = 1.8MiB"), "{text}");
        assert!(text.contains("raise --hub-topic-limit to at least 2MiB"), "{text}");
        Plan::new(&with(|s| s.hub.topic_limit = Some(Bytes::mib(2)))).expect("the advice is right");
        let text = refused(|s| s.hub.limit = Some(Bytes::mib(2)));
        assert!(text.contains("raise --hub-limit to at least 3MiB"), "{text}");
        Plan::new(&with(|s| s.hub.limit = Some(Bytes::mib(3)))).expect("the advice is right");
        let text = refused(|s| {
            s.hub.limit = Some(Bytes::mib(4));
            s.hub.topic_limit = Some(Bytes::mib(8));
        });
        assert!(text.contains("hub.topic_limit 8MiB, and hub.limit is 4MiB"), "{text}");
    }

    #[test]
    fn an_unset_hub_grows_to_one_event_or_one_topic() {
        let few = |s: &mut Settings| {
            s.memory_limit = Bytes::mib(64);
            s.max_connections = 10;
            s.publish.body_limit = Bytes::mib(2);
            s.ingest.in_flight_max = 1;
        };
        let plan = Plan::new(&with(few)).expect("it fits");
        assert!(plan.topic >= plan.event);
        let plan = Plan::new(&with(|s| s.hub.topic_limit = Some(Bytes::mib(300)))).expect("it fits");
        assert_eq!((plan.hub, plan.topic), (Bytes::mib(300), Bytes::mib(300)));
    }

    #[test]
    fn no_combination_panics_or_passes_its_limit() {
        let sizes = [1, 1 << 10, 1 << 20, 64 << 20, 1 << 40, u64::MAX].map(Bytes::new);
        for memory in sizes {
            for pool in [None].into_iter().chain(sizes.map(Some)) {
                for hub in [None].into_iter().chain(sizes.map(Some)) {
                    for topic in [None].into_iter().chain(sizes.map(Some)) {
                        for connections in [1, usize::MAX] {
                            let settings = with(|s| {
                                s.memory_limit = memory;
                                s.pool.limit = pool;
                                s.hub.limit = hub;
                                s.hub.topic_limit = topic;
                                s.max_connections = connections;
                            });
                            match Plan::new(&settings) {
                                Ok(plan) => {
                                    assert!(plan.total() <= plan.memory_limit && plan.buffer <= plan.pool)
                                }
                                Err(error) => assert!(!error.to_string().contains('\n')),
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_plan_is_shown_in_place_of_the_shares() {
        let settings = Settings::default();
        let plan = Plan::new(&settings).expect("the defaults fit");
        let applied = plan.applied_to(&settings);
        assert_eq!(applied.pool.limit, Some(plan.pool));
        assert_eq!(Plan::new(&applied).as_ref(), Ok(&plan));
    }
}
