//! The work that nobody's call does: looking at those who stand still, and forgetting idle topics.
//!
//! A sweep is a plain function of the time it is given; whoever drives it ([`Hub::drive`](super::Hub::drive)
//! or a test) decides when. It costs something only while somebody is over a limit or topics exist.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::Tick;

use super::directory::Core;
use super::name::TopicName;
use super::stall::look_interval;
use super::topic::{Aftermath, Topic, TopicState};

/// How many topics one sweep looks at for expiry; the next call goes on where it stopped.
const EXPIRY_LOOKS_MAX: usize = 256;
/// The pause between two such calls in the middle of a round.
const EXPIRY_PAUSE: Duration = Duration::from_millis(1);
/// A round begins after this part of `topic_idle`, but at least each minute.
const EXPIRY_ROUNDS: u32 = 8;
const EXPIRY_ROUND_MAX: Duration = Duration::from_secs(60);

/// Where the walk over all topics stands.
#[derive(Default)]
pub(super) struct Expiry {
    next: Option<Tick>,
    // The last topic that was looked at in this round.
    resume: Option<TopicName>,
}

impl Core {
    /// One sweep; says when the next is due, `None` when nothing is pending.
    pub(super) fn sweep(&self, now: Tick) -> Option<Tick> {
        if self.is_closed() {
            return None;
        }
        let look = self.look(now);
        let expiry = self.expire(now);
        match (look, expiry) {
            (Some(look), Some(expiry)) => Some(look.min(expiry)),
            (look, expiry) => look.or(expiry),
        }
    }

    /// Looks at everybody who is over the limit.
    fn look(&self, now: Tick) -> Option<Tick> {
        let mut kept = self.take_watched();
        kept.retain(|topic| {
            // Three steps, so that the transports' callbacks run outside the lock. Whoever moved between
            // the first and the third is seen to have moved by the third.
            let asked = topic.state.lock().on_the_clock();
            let answers: Vec<_> = asked
                .iter()
                .map(|(id, meter)| (*id, meter.as_ref().map_or(0, |meter| meter.acknowledged())))
                .collect();
            let mut after = Aftermath::default();
            let again = self.judge(topic, &answers, now, &mut after);
            after.run(self);
            again
        });
        let again = !kept.is_empty();
        self.keep_watched(kept);
        again.then(|| now + look_interval(self.limits.evict_after))
    }

    fn judge(
        &self,
        topic: &Arc<Topic>,
        answers: &[(super::SubscriberId, u64)],
        now: Tick,
        after: &mut Aftermath,
    ) -> bool {
        let mut state = topic.state.lock();
        if state.gone {
            state.listed = false;
            return false;
        }
        state.judge(topic, self, answers, now, after)
    }

    /// Forgets topics that have had neither reader nor event for `topic_idle`.
    fn expire(&self, now: Tick) -> Option<Tick> {
        let idle = self.limits.topic_idle;
        let resume = {
            let mut expiry = self.expiry.lock();
            match expiry.next {
                Some(next) if now < next => return (self.tally.topics.get() > 0).then_some(next),
                _ => expiry.resume.take(),
            }
        };
        let looked_at = self.topics_after(resume.as_ref(), EXPIRY_LOOKS_MAX);
        for topic in &looked_at {
            let expired = |state: &TopicState| state.is_expired(now, idle);
            // The first look spares the map's lock for those, nearly all, that stay.
            let due = expired(&topic.state.lock());
            if due && self.forget(topic, expired) {
                self.tally.topics_expired.add(1);
            }
        }
        let unfinished = looked_at.len() == EXPIRY_LOOKS_MAX;
        let pause = if unfinished { EXPIRY_PAUSE } else { (idle / EXPIRY_ROUNDS).min(EXPIRY_ROUND_MAX) };
        let next = now + pause.max(EXPIRY_PAUSE);
        let mut expiry = self.expiry.lock();
        expiry.next = Some(next);
        expiry.resume = looked_at.last().filter(|_| unfinished).map(|topic| topic.name.clone());
        (self.tally.topics.get() > 0).then_some(next)
    }
}
