//! From the settings' words to the limits of the parts.

use plimsoll_bounds::hub::{self, HubLimits};
use plimsoll_bounds::pool::{self, PoolLimits};

use crate::plan::Plan;
use crate::settings::{Policy, PoolMode, Settings, TopicMatch, TopicRule, Tracking};

pub(crate) fn pool_limits(settings: &Settings, plan: &Plan) -> PoolLimits {
    let pool = &settings.pool;
    PoolLimits {
        limit: plan.pool,
        buffer_limit: plan.buffer,
        waiters_max: pool.waiters_max,
        acquire_timeout: pool.acquire_timeout,
        leak_timeout: pool.leak_timeout,
        mode: match pool.mode {
            PoolMode::Pooled => pool::PoolMode::Pooled,
            PoolMode::Direct => pool::PoolMode::Direct,
        },
        tracking: match pool.tracking {
            Tracking::Off => pool::Tracking::Off,
            Tracking::Cheap => pool::Tracking::Cheap,
            Tracking::Full => pool::Tracking::Full,
        },
        ..PoolLimits::default()
    }
}

pub(crate) fn hub_limits(settings: &Settings, plan: &Plan) -> HubLimits {
    let hub = &settings.hub;
    HubLimits {
        topic_limit: plan.topic,
        queue_events_max: hub.queue_events_max,
        queue_bytes_max: hub.queue_bytes_max,
        policy: policy(hub.policy),
        evict_after: hub.evict_after,
        topics_max: hub.topics_max,
        topic_idle: hub.topic_idle,
        subscribers_max: settings.max_connections,
        rules: hub.topic.as_slice().iter().filter_map(rule).collect(),
        ..HubLimits::of(plan.hub)
    }
}

/// Nothing for a pattern that no topic can match; the settings refuse those when they are read.
fn rule(rule: &TopicRule) -> Option<hub::TopicRule> {
    let pattern = match &rule.topics {
        TopicMatch::Exact(topic) => topic.clone(),
        TopicMatch::Under(prefix) => format!("{prefix}*"),
    };
    Some(hub::TopicRule {
        matching: pattern.parse().ok()?,
        queue_events_max: rule.queue_events_max,
        queue_bytes_max: rule.queue_bytes_max,
        policy: rule.policy.map(policy),
    })
}

fn policy(policy: Policy) -> hub::Policy {
    match policy {
        Policy::Evict => hub::Policy::Evict,
        Policy::DropOldest => hub::Policy::DropOldest,
        Policy::DropNewest => hub::Policy::DropNewest,
        Policy::KeepLatest => hub::Policy::KeepLatest,
    }
}
