//! The queue against a naive model: every policy, random limits (0 and 1 among them), random operations on
//! both ends, strangers on the same account, and waiters dropped at every point where they can wait.
//!
//! `PLIMSOLL_MODEL_OPS=100000000` makes the long run, `PLIMSOLL_MODEL_SEED` another one.
#![cfg(not(loom))]

#[path = "model/by_hand.rs"]
mod by_hand;
#[path = "model/queue.rs"]
mod model;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use by_hand::Hand;
use fastrand::Rng;
use model::{Did, Model, No, Rule};
use plimsoll_bounds::budget::{Account, Budget, BudgetLimits, Reservation, ReserveError};
use plimsoll_bounds::queue::{
    Delivered, Key, Permit, Policy, Queue, QueueLimits, Receiver, RecvError, Refused, SendError, Sender, Sent,
};
use plimsoll_core::{Bytes, ManualClock};

/// An item that is counted while it lives.
struct Item {
    id: u64,
    key: u64,
    weight: u64,
    alive: Arc<AtomicU64>,
}

impl Item {
    fn new(item: model::Item, alive: &Arc<AtomicU64>) -> Item {
        alive.fetch_add(1, Ordering::Relaxed);
        Item { id: item.id, key: item.key, weight: item.weight, alive: alive.clone() }
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

enum Made {
    Sent(Result<Sent, SendError<Item>>),
    Permit(Result<Permit<Item>, Refused>),
}

/// A producer in the middle of something. `waits` once it stands in a line.
struct Producing {
    hand: Hand<'static, Made>,
    id: u64,
    item: Option<model::Item>,
    weight: u64,
    waits: bool,
}

struct Consuming {
    hand: Hand<'static, Result<Option<Delivered<Item>>, RecvError>>,
    id: u64,
    waits: bool,
}

struct World {
    rng: Rng,
    account: Account,
    queue: Queue<Item>,
    sender: Option<Sender<Item>>,
    receiver: Option<Receiver<Item>>,
    model: Model,
    /// What an item weighs besides what its weigher says.
    fixed: u64,
    next: u64,
    alive: Arc<AtomicU64>,
    producing: Vec<Producing>,
    consuming: Vec<Consuming>,
    permits: Vec<Permit<Item>>,
    delivered: Vec<Delivered<Item>>,
    strangers: Vec<Reservation>,
    /// How many steps it is worth to go on: few in a world where nothing can come through any more.
    steps: u64,
}

/// Steps in a world where items come through.
const LIVELY: u64 = 1000;
/// Steps in one where none can, or can any more.
const DEAD: u64 = 40;

fn policy(rule: Rule) -> Policy<Item> {
    match rule {
        Rule::Wait => Policy::Wait,
        Rule::Reject => Policy::Reject,
        Rule::DropNewest => Policy::DropNewest,
        Rule::DropOldest => Policy::DropOldest,
        Rule::LatestByKey => Policy::LatestByKey(|item| Key::from(item.key)),
    }
}

fn no(refused: &Refused) -> No {
    match refused {
        Refused::TooLarge { .. } => No::TooLarge,
        Refused::Full(_) => No::Full,
        Refused::Budget(error) => match **error {
            ReserveError::Full(_) => No::BudgetFull,
            ReserveError::TooLarge { .. } => No::BudgetTooLarge,
            ref other => panic!("{other}"),
        },
        Refused::TooManyWaiters { .. } => No::TooManyWaiters,
        Refused::HeavierThanPermit { .. } => No::Heavy,
        Refused::Closed => No::Closed,
        Refused::NoReceiver => No::Abandoned,
        Refused::Stopped => No::Stopped,
        Refused::TimedOut { .. } => panic!("nobody waits for a time here"),
    }
}

fn did(sent: Sent) -> Did {
    match sent {
        Sent::Queued => Did::Queued,
        Sent::Displaced(count) => Did::Displaced(count),
        Sent::Replaced => Did::Replaced,
        Sent::Dropped => Did::Dropped,
    }
}

fn no_recv(error: RecvError) -> No {
    match error {
        RecvError::Empty => No::Empty,
        RecvError::Stopped => No::Stopped,
        RecvError::TooManyWaiters { .. } => No::TooManyWaiters,
        RecvError::TimedOut { .. } => panic!("nobody waits for a time here"),
    }
}

fn bounded(limits: QueueLimits, rule: Rule, account: &Account) -> (Sender<Item>, Receiver<Item>) {
    let weigh = |item: &Item| Bytes::new(item.weight);
    let clock = Arc::new(ManualClock::new());
    Queue::bounded("model", limits, policy(rule), weigh, account, clock).expect("the account is open")
}

/// What an item weighs besides what its weigher says, the key included.
fn fixed_weight(rule: Rule, account: &Account, alive: &Arc<AtomicU64>) -> u64 {
    let (sender, _receiver) = bounded(QueueLimits::of(Bytes::mib(1)), rule, account);
    let item = model::Item { id: 0, key: 0, weight: 0 };
    sender.try_send(Item::new(item, alive)).expect("there is room");
    sender.queue().bytes().as_u64()
}

impl World {
    fn new(mut rng: Rng) -> World {
        let budget = Budget::new(BudgetLimits::of(Bytes::gib(1)), Arc::new(ManualClock::new()));
        let account = budget.account("account", Bytes::mib(1)).expect("there is room");
        let alive = Arc::new(AtomicU64::new(0));
        let rules =
            [Rule::Wait, Rule::Wait, Rule::Reject, Rule::DropNewest, Rule::DropOldest, Rule::LatestByKey];
        let rule = rules[rng.usize(..rules.len())];
        let fixed = fixed_weight(rule, &account, &alive);

        let items_max = [0, 1, 1, 2, 3, 5][rng.usize(..6)];
        let bytes_max = match rng.u8(..10) {
            0 => rng.u64(..2),
            1 => fixed + rng.u64(..2),
            _ => fixed * rng.u64(1..5) + rng.u64(..100),
        };
        let account_max = match rng.u8(..10) {
            0 => rng.u64(..2),
            1 => fixed + rng.u64(..2),
            2..5 => fixed * rng.u64(1..4) + rng.u64(..100),
            _ => 1 << 20,
        };
        account.set_limit(Bytes::new(account_max));
        let waiters_max = [0, 1, 2, 4][rng.usize(..4)];
        let limits = QueueLimits { items_max, bytes_max: Bytes::new(bytes_max), waiters_max };
        let (sender, receiver) = bounded(limits, rule, &account);
        World {
            rng,
            account,
            queue: sender.queue().clone(),
            sender: Some(sender),
            receiver: Some(receiver),
            model: Model::new(rule, items_max, bytes_max, waiters_max, account_max),
            fixed,
            next: 0,
            alive,
            producing: Vec::new(),
            consuming: Vec::new(),
            permits: Vec::new(),
            delivered: Vec::new(),
            strangers: Vec::new(),
            steps: if items_max == 0 || bytes_max.min(account_max) < fixed { DEAD } else { LIVELY },
        }
    }

    fn step(&mut self) {
        match self.rng.u16(..1000) {
            0..120 => self.try_send(),
            120..220 => self.begin_producing(),
            220..360 => self.poll_producing(),
            360..380 => self.cancel_producing(),
            380..400 => self.try_reserve(),
            400..500 => self.use_permit(),
            500..520 => self.drop_permit(),
            520..610 => self.begin_consuming(),
            610..710 => self.poll_consuming(),
            710..730 => self.cancel_consuming(),
            730..800 => self.try_recv(),
            800..945 => self.let_go(),
            945..955 => self.stranger_comes(),
            955..975 => self.stranger_goes(),
            975..980 => self.set_account_limit(),
            980..998 => {}
            _ => self.end(),
        }
    }

    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn item(&mut self) -> model::Item {
        let (key, weight) = (self.rng.u64(..4), self.rng.u64(..60));
        model::Item { id: self.id(), key, weight }
    }

    /// The item as the model sees it: with its whole weight.
    fn whole(&self, item: model::Item) -> model::Item {
        model::Item { weight: self.fixed + item.weight, ..item }
    }

    fn same_sent(real: Result<Sent, SendError<Item>>, expected: Result<Did, No>, id: u64) {
        match real {
            Ok(sent) => assert_eq!(Ok(did(sent)), expected),
            Err(error) => {
                assert_eq!(Err(no(&error.reason)), expected, "{error}");
                assert_eq!(error.item.id, id, "the item is handed back");
            }
        }
    }

    fn try_send(&mut self) {
        let item = self.item();
        let Some(sender) = &self.sender else { return };
        let expected = self.model.send_now(self.whole(item));
        World::same_sent(sender.try_send(Item::new(item, &self.alive)), expected, item.id);
    }

    fn begin_producing(&mut self) {
        if self.producing.len() >= 6 {
            return;
        }
        let (item, sends) = (self.item(), self.rng.u8(..3) > 0);
        let Some(sender) = self.sender.clone() else { return };
        self.model.senders += 1;
        let (hand, item, weight) = if sends {
            let real = Item::new(item, &self.alive);
            let hand = Hand::new(async move { Made::Sent(sender.send(real).await) });
            (hand, Some(item), self.fixed + item.weight)
        } else {
            let weight = Bytes::new(item.weight);
            let hand = Hand::new(async move { Made::Permit(sender.reserve(weight).await) });
            (hand, None, Queue::<Item>::ITEM_OVERHEAD.as_u64() + item.weight)
        };
        let id = self.id();
        self.producing.push(Producing { hand, id, item, weight, waits: false });
    }

    fn poll_producing(&mut self) {
        if self.producing.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.producing.len());
        let Producing { id, item, weight, waits, .. } = self.producing[at];
        let whole = item.map(|item| self.whole(item));
        let made = self.producing[at].hand.poll();
        // What the model says: nothing yet, or how it ended.
        let room = match (self.model.rule, whole) {
            (Rule::Wait, _) if waits => self.model.look(id),
            (Rule::Wait, _) => self.model.acquire(id, weight),
            (_, Some(whole)) => {
                let expected = self.model.send_now(whole);
                let (Poll::Ready(Made::Sent(real)), Some(item)) = (made, item) else {
                    panic!("it was to send")
                };
                World::same_sent(real, expected, item.id);
                return self.done_producing(at);
            }
            (_, None) => Some(self.model.try_room(weight).map(|_| ())),
        };
        match (made, room) {
            (Poll::Pending, None) => self.producing[at].waits = true,
            (Poll::Ready(Made::Sent(real)), Some(room)) => {
                let expected = room.and_then(|()| self.model.put(whole.expect("it sends")));
                World::same_sent(real, expected, item.expect("it sends").id);
                self.done_producing(at);
            }
            (Poll::Ready(Made::Permit(real)), Some(room)) => {
                assert_eq!(real.as_ref().map(|_| ()).map_err(no), room);
                self.permits.extend(real);
                self.done_producing(at);
            }
            (Poll::Pending, Some(room)) => panic!("waits, and the model says {room:?}"),
            (Poll::Ready(_), None) => panic!("done, and the model waits"),
        }
    }

    fn done_producing(&mut self, at: usize) {
        drop(self.producing.swap_remove(at));
        self.model.sender_gone();
    }

    fn cancel_producing(&mut self) {
        if self.producing.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.producing.len());
        let Producing { id, waits, .. } = self.producing[at];
        if waits {
            self.model.cancel_producer(id);
        }
        self.done_producing(at);
    }

    fn try_reserve(&mut self) {
        let weight = self.rng.u64(..60);
        let Some(sender) = &self.sender else { return };
        let expected = self.model.try_room(Queue::<Item>::ITEM_OVERHEAD.as_u64() + weight);
        let real = sender.try_reserve(Bytes::new(weight));
        assert_eq!(real.as_ref().map(|_| ()).map_err(no), expected.map(|_| ()));
        self.permits.extend(real);
    }

    fn use_permit(&mut self) {
        if self.permits.is_empty() {
            return;
        }
        let permit = self.permits.swap_remove(self.rng.usize(..self.permits.len()));
        let item = self.item();
        let weight = permit.weight().as_u64();
        let expected = if self.fixed + item.weight > weight {
            self.model.give_back(weight);
            Err(No::Heavy)
        } else {
            self.model.put(model::Item { weight, ..item })
        };
        World::same_sent(permit.send(Item::new(item, &self.alive)), expected, item.id);
    }

    fn drop_permit(&mut self) {
        if !self.permits.is_empty() {
            let permit = self.permits.swap_remove(self.rng.usize(..self.permits.len()));
            self.model.give_back(permit.weight().as_u64());
            drop(permit);
        }
    }

    fn got(
        &mut self,
        real: Result<Option<Delivered<Item>>, RecvError>,
        expected: Result<Option<model::Item>, No>,
    ) {
        match (real, expected) {
            (Ok(Some(item)), Ok(Some(expected))) => {
                assert_eq!((item.id, item.weight().as_u64()), (expected.id, expected.weight), "in order");
                self.delivered.push(item);
            }
            (Ok(None), Ok(None)) => {}
            (Err(error), Err(expected)) => assert_eq!(no_recv(error), expected),
            (real, expected) => {
                panic!("{:?} against {expected:?}", real.map(|item| item.map(|item| item.id)))
            }
        }
    }

    fn begin_consuming(&mut self) {
        if self.consuming.len() < 4
            && let Some(receiver) = self.receiver.clone()
        {
            self.model.receivers += 1;
            let hand = Hand::new(async move { receiver.recv().await });
            let id = self.id();
            self.consuming.push(Consuming { hand, id, waits: false });
        }
    }

    fn poll_consuming(&mut self) {
        if self.consuming.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.consuming.len());
        let Consuming { id, waits, .. } = self.consuming[at];
        let expected = if waits { self.model.recv_again(id) } else { self.model.recv(id) };
        match (self.consuming[at].hand.poll(), expected) {
            (Poll::Pending, None) => self.consuming[at].waits = true,
            (Poll::Ready(real), Some(expected)) => {
                self.got(real, expected);
                self.done_consuming(at);
            }
            (Poll::Pending, Some(_)) => panic!("waits, and the model does not"),
            (Poll::Ready(_), None) => panic!("done, and the model waits"),
        }
    }

    fn done_consuming(&mut self, at: usize) {
        drop(self.consuming.swap_remove(at));
        self.model.receiver_gone();
    }

    fn cancel_consuming(&mut self) {
        if self.consuming.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.consuming.len());
        let Consuming { id, waits, .. } = self.consuming[at];
        if waits {
            self.model.cancel_consumer(id);
        }
        self.done_consuming(at);
    }

    fn try_recv(&mut self) {
        let Some(receiver) = &self.receiver else { return };
        let real = receiver.try_recv();
        let expected = self.model.take().unwrap_or(Err(No::Empty));
        self.got(real, expected);
    }

    fn let_go(&mut self) {
        if self.delivered.is_empty() {
            return;
        }
        let item = self.delivered.swap_remove(self.rng.usize(..self.delivered.len()));
        self.model.let_go(item.weight().as_u64());
        if self.rng.bool() {
            drop(item.into_inner());
        } else {
            drop(item);
        }
    }

    fn stranger_comes(&mut self) {
        let bytes = self.rng.u64(1..self.fixed + 60);
        let expected = self.model.account_no(bytes);
        let real = self.account.try_reserve("stranger", Bytes::new(bytes));
        assert_eq!(real.is_ok(), expected.is_none());
        if let Ok(reservation) = real {
            self.model.strangers += bytes;
            self.strangers.push(reservation);
        }
    }

    fn stranger_goes(&mut self) {
        if !self.strangers.is_empty() {
            let gone = self.strangers.swap_remove(self.rng.usize(..self.strangers.len()));
            self.model.strangers -= gone.bytes().as_u64();
            self.model.account_serve();
        }
    }

    fn set_account_limit(&mut self) {
        let limit = self.rng.u64(..self.fixed * 10);
        self.model.account_max = limit;
        self.model.account_serve();
        self.account.set_limit(Bytes::new(limit));
    }

    fn end(&mut self) {
        self.steps = self.steps.min(DEAD);
        match self.rng.u8(..5) {
            0 | 1 => {
                self.queue.close();
                self.model.close();
            }
            2 => assert_eq!(self.queue.emergency_stop().dropped_items, self.model.stop()),
            3 => {
                if self.sender.take().is_some() {
                    self.model.sender_gone();
                }
            }
            _ => {
                if self.receiver.take().is_some() {
                    self.model.receiver_gone();
                }
            }
        }
    }

    /// Everything that can be seen is what the model says, and within the limits.
    fn check(&self, account_before: u64) {
        let (items, bytes) = (self.queue.items(), self.queue.bytes().as_u64());
        assert_eq!((items, bytes), (self.model.items(), self.model.bytes()));
        assert!(items <= self.model.items_max && bytes <= self.model.bytes_max);
        let held = self.account.held().as_u64();
        assert_eq!(held, self.model.account_held());
        assert!(held <= self.model.account_max || held <= account_before);
        for producing in &self.producing {
            assert!(
                !self.model.producer_called(producing.id) || producing.hand.woken(),
                "called, and asleep"
            );
        }
        for consuming in &self.consuming {
            assert!(
                !self.model.consumer_called(consuming.id) || consuming.hand.woken(),
                "called, and asleep"
            );
        }
    }

    /// Lets go of everything in random order; nothing may be left, and every item is accounted for.
    fn finish(mut self) {
        while !(self.producing.is_empty()
            && self.consuming.is_empty()
            && self.permits.is_empty()
            && self.delivered.is_empty()
            && self.strangers.is_empty())
        {
            match self.rng.u8(..5) {
                0 => self.cancel_producing(),
                1 => self.cancel_consuming(),
                2 => self.drop_permit(),
                3 => self.let_go(),
                _ => self.stranger_goes(),
            }
        }
        let waiting = self.queue.items() as u64;
        let readings = {
            let mut readings = Vec::new();
            self.queue.observer().upgrade().expect("it is alive").observe(&mut readings);
            readings
        };
        let count = |name: &str| {
            let found = readings[0].counters.iter().find(|counter| counter.name == name);
            found.unwrap_or_else(|| panic!("{name} is counted")).value
        };
        let gone = count("received")
            + count("dropped_oldest")
            + count("replaced")
            + count("dropped_stopped")
            + count("dropped_abandoned");
        assert_eq!(count("sent"), gone + waiting, "what was sent was received, dropped or waits");
        drop((self.sender, self.receiver));
        assert_eq!(self.queue.items(), 0, "the last receiver has gone");
        assert_eq!(self.queue.bytes(), Bytes::ZERO);
        assert_eq!(self.account.held(), Bytes::ZERO);
        assert_eq!(self.alive.load(Ordering::Relaxed), 0, "every item was dropped");
    }
}

#[test]
fn does_what_the_naive_model_does() {
    let (seed, ops) = (by_hand::seed(), by_hand::ops());
    let mut rng = Rng::with_seed(seed);
    let mut done = 0;
    while done < ops {
        let mut world = World::new(rng.fork());
        while world.steps > 0 {
            world.steps -= 1;
            let before = world.model.account_held();
            world.step();
            world.check(before);
            done += 1;
        }
        world.finish();
    }
}
