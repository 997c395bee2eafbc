//! What a transport tells the hub about one subscriber's socket, and hears from it.
//!
//! The hub sees a reader take batches; it does not see whether the bytes reach anybody. A reader that takes
//! nothing may be stuck on a peer that does not read, or may simply not have been scheduled yet: the first
//! is to be evicted, the second is waiting for us. Only the transport can tell them apart. And once the hub
//! has evicted somebody, nobody polls that response's body any more (its socket is full), so the transport
//! has to hear of it elsewhere, in the task that owns the socket.
//!
//! Danger: a transport that says `blocked` and forgets to say `progressed` gets healthy readers evicted.
//! The count of acknowledged bytes ([`Meter::with_acknowledged`]) is the safety net: bytes that the peer's
//! kernel took are progress, whatever the transport said.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use plimsoll_core::Tick;

/// Why a subscriber was sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvictReason {
    /// It was over its limit and made no progress for `evict_after`.
    Stalled,
    /// The topic's history was trimmed past the place where it was.
    Overrun,
    /// The hub closes; it got everything that was held.
    Closing,
}

impl EvictReason {
    /// The word in frames and reports.
    pub const fn name(self) -> &'static str {
        match self {
            EvictReason::Stalled => "stalled",
            EvictReason::Overrun => "overrun",
            EvictReason::Closing => "closing",
        }
    }
}

impl fmt::Display for EvictReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One subscriber's socket as the hub knows it. Cloning gives another handle; the transport keeps one and
/// gives one to [`Hub::subscribe`](super::Hub::subscribe). A meter serves one subscription, once.
///
/// Memory: about 100 bytes and what the callback holds, until the last handle is gone; the hub lets go of
/// its own when the subscriber leaves or is evicted.
#[derive(Clone)]
pub struct Meter(Arc<State>);

struct State {
    // Nanoseconds of the tick since which the transport cannot write, plus one; 0 when it can.
    blocked: AtomicU64,
    moved: AtomicU64,
    // 0, or `EvictReason` plus one. Set once.
    verdict: AtomicU8,
    waker: AtomicWaker,
    acknowledged: Option<Box<dyn Fn() -> u64 + Send + Sync>>,
}

impl Meter {
    /// A meter that knows only what the transport reports.
    pub fn new() -> Meter {
        Meter::with(None)
    }

    /// A meter that can also ask how many bytes the peer has acknowledged in all.
    ///
    /// `acknowledged` must never go down. It is called outside every lock, and only while its subscriber is
    /// over its limit and blocked, a few times in each `evict_after`: a system call is fine.
    pub fn with_acknowledged(acknowledged: impl Fn() -> u64 + Send + Sync + 'static) -> Meter {
        Meter::with(Some(Box::new(acknowledged)))
    }

    fn with(acknowledged: Option<Box<dyn Fn() -> u64 + Send + Sync>>) -> Meter {
        Meter(Arc::new(State {
            blocked: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            verdict: AtomicU8::new(0),
            waker: AtomicWaker::new(),
            acknowledged,
        }))
    }

    /// The transport has bytes to write and the socket takes none. Said again while still blocked, the
    /// first time counts.
    pub fn blocked(&self, now: Tick) {
        let since = nanos(now).saturating_add(1);
        // Ordering: the numbers are looked at one by one, and a look that mixes two moments sees progress.
        let _ = self.0.blocked.compare_exchange(0, since, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The transport could write again, or has nothing to write.
    pub fn unblocked(&self) {
        self.0.blocked.store(0, Ordering::Relaxed);
    }

    /// The socket took `bytes`. Any at all end a block.
    pub fn progressed(&self, bytes: u64) {
        if bytes > 0 {
            self.0.moved.fetch_add(bytes, Ordering::Relaxed);
            self.unblocked();
        }
    }

    /// Whether the hub has evicted this subscriber.
    pub fn is_evicted(&self) -> bool {
        self.verdict().is_some()
    }

    /// Waits until the hub evicts this subscriber, for a stall or an overrun.
    ///
    /// For the task that owns the socket; it may then close it with what was written. Not told of `Closing`
    /// before the subscription has handed out its last frame: until then there is something to deliver,
    /// and how long that may take is for whoever closes the hub to say.
    ///
    /// *Cancel safety:* loses nothing; may be called again. One task at a time: the last that asked is woken.
    pub async fn evicted(&self) -> EvictReason {
        poll_fn(|context| self.poll_evicted(context)).await
    }

    /// [`Meter::evicted`] as a poll.
    pub fn poll_evicted(&self, context: &mut Context<'_>) -> Poll<EvictReason> {
        if let Some(reason) = self.verdict() {
            return Poll::Ready(reason);
        }
        self.0.waker.register(context.waker());
        // Once more: a verdict between the look and the registration woke nobody.
        self.verdict().map_or(Poll::Pending, Poll::Ready)
    }

    fn verdict(&self) -> Option<EvictReason> {
        [EvictReason::Stalled, EvictReason::Overrun, EvictReason::Closing]
            .into_iter()
            .find(|reason| *reason as u8 + 1 == self.0.verdict.load(Ordering::Acquire))
    }

    /// Tells the transport. Runs its waker: call it with no lock held.
    pub(super) fn evict(&self, reason: EvictReason) {
        let told = self.0.verdict.compare_exchange(0, reason as u8 + 1, Ordering::AcqRel, Ordering::Acquire);
        if told.is_ok() {
            self.0.waker.wake();
        }
    }

    /// What has moved so far, the peer's acknowledgements aside.
    pub(super) fn moved(&self) -> Moved {
        Moved { bytes: self.0.moved.load(Ordering::Relaxed), blocked: self.0.blocked.load(Ordering::Relaxed) }
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.0.blocked.load(Ordering::Relaxed) != 0
    }

    /// For how long the transport has been blocked, if it is.
    pub(super) fn blocked_for(&self, now: Tick) -> Option<Duration> {
        let since = self.0.blocked.load(Ordering::Relaxed).checked_sub(1)?;
        Some(now.since(Tick::START + Duration::from_nanos(since)))
    }

    /// Asks for the acknowledged bytes. Runs the transport's code: call it with no lock held.
    pub(super) fn acknowledged(&self) -> u64 {
        self.0.acknowledged.as_ref().map_or(0, |ask| ask())
    }
}

/// The transport's numbers at a moment. Two that are equal mean that nothing moved between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    bytes: u64,
    // Since when it is blocked; another value means that it wrote in between.
    blocked: u64,
}

fn nanos(tick: Tick) -> u64 {
    u64::try_from(tick.since_start().as_nanos()).unwrap_or(u64::MAX)
}

impl Default for Meter {
    fn default() -> Meter {
        Meter::new()
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter")
            .field("moved", &self.moved())
            .field("verdict", &self.verdict())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn a_block_ends_with_progress_and_is_dated_from_its_beginning() {
        let meter = Meter::new();
        let at = |ms| Tick::START + Duration::from_millis(ms);
        assert_eq!(meter.blocked_for(at(0)), None);
        meter.blocked(at(0));
        meter.blocked(at(5));
        assert_eq!(meter.blocked_for(at(7)), Some(Duration::from_millis(7)));
        let before = meter.moved();
        meter.progressed(0);
        assert_eq!(meter.moved(), before);
        meter.progressed(1);
        assert!(!meter.is_blocked());
        meter.blocked(at(9));
        assert_ne!(meter.moved(), before);
    }

    #[test]
    fn the_verdict_is_told_once_and_stays() {
        let meter = Meter::new();
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(meter.poll_evicted(&mut context), Poll::Pending);
        meter.evict(EvictReason::Overrun);
        meter.evict(EvictReason::Stalled);
        assert_eq!(meter.poll_evicted(&mut context), Poll::Ready(EvictReason::Overrun));
        assert!(meter.is_evicted());
    }
}
