//! What a queue on an account should do, written as plainly as it can be: lists, sums counted anew each
//! time, everything looked at again after each step.

use std::collections::VecDeque;

/// Why something is refused, without the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum No {
    TooLarge,
    Full,
    BudgetFull,
    BudgetTooLarge,
    TooManyWaiters,
    Heavy,
    Closed,
    Abandoned,
    Stopped,
    Empty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Did {
    Queued,
    Displaced(usize),
    Replaced,
    Dropped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    Wait,
    Reject,
    DropNewest,
    DropOldest,
    LatestByKey,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) id: u64,
    pub(crate) key: u64,
    pub(crate) weight: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    Closed,
    Abandoned,
    Stopped,
}

/// Where a producer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Entrance(Option<Result<bool, No>>),
    Account { granted: Option<Result<(), No>>, called: bool },
}

struct Producer {
    id: u64,
    weight: u64,
    at: At,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    None,
    Item,
    End,
}

struct Consumer {
    id: u64,
    call: Call,
}

pub(crate) struct Model {
    pub(crate) rule: Rule,
    pub(crate) items_max: usize,
    pub(crate) bytes_max: u64,
    waiters_max: usize,
    mode: Mode,
    waiting: VecDeque<Item>,
    /// Weights of the permits, and of those who have a place and wait at the account.
    promised: Vec<u64>,
    flying: Vec<u64>,
    producers: Vec<Producer>,
    consumers: Vec<Consumer>,
    pub(crate) senders: usize,
    pub(crate) receivers: usize,
    /// The account: what it may hold, what strangers hold there, what the queue has on it.
    pub(crate) account_max: u64,
    pub(crate) strangers: u64,
    charged: u64,
    /// The line at the account, first come first: producers by number.
    account_line: Vec<u64>,
}

impl Model {
    pub(crate) fn new(
        rule: Rule,
        items_max: usize,
        bytes_max: u64,
        waiters_max: usize,
        account_max: u64,
    ) -> Model {
        Model {
            rule,
            items_max,
            bytes_max,
            waiters_max,
            mode: Mode::Open,
            waiting: VecDeque::new(),
            promised: Vec::new(),
            flying: Vec::new(),
            producers: Vec::new(),
            consumers: Vec::new(),
            senders: 1,
            receivers: 1,
            account_max,
            strangers: 0,
            charged: 0,
            account_line: Vec::new(),
        }
    }

    pub(crate) fn items(&self) -> usize {
        self.waiting.len() + self.promised.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        let waiting: u64 = self.waiting.iter().map(|item| item.weight).sum();
        waiting + self.promised.iter().sum::<u64>() + self.flying.iter().sum::<u64>()
    }

    // ---- The account.

    pub(crate) fn account_held(&self) -> u64 {
        let granted = |producer: &&Producer| matches!(producer.at, At::Account { granted: Some(Ok(())), .. });
        let under_way: u64 = self.producers.iter().filter(granted).map(|producer| producer.weight).sum();
        self.charged + self.strangers + under_way
    }

    /// Whether the account takes `bytes` more of somebody who will not wait.
    pub(crate) fn account_no(&self, bytes: u64) -> Option<No> {
        if bytes > self.account_max {
            return Some(No::BudgetTooLarge);
        }
        let lacks = bytes > self.account_max.saturating_sub(self.account_held());
        (lacks || (!self.account_line.is_empty() && bytes > 0)).then_some(No::BudgetFull)
    }

    pub(crate) fn account_serve(&mut self) {
        let mut blocked = false;
        for id in self.account_line.clone() {
            let weight = self.producer(id).weight;
            let left = self.account_max.saturating_sub(self.account_held());
            let answer = if weight > self.account_max {
                Err(No::BudgetTooLarge)
            } else if !blocked && weight <= left {
                Ok(())
            } else {
                blocked = true;
                continue;
            };
            self.account_line.retain(|known| *known != id);
            if let At::Account { granted, .. } = &mut self.producer(id).at {
                *granted = Some(answer);
            }
        }
    }

    /// Takes `bytes` on the account if that is possible now.
    fn charge(&mut self, bytes: u64) -> Result<(), No> {
        match self.account_no(bytes) {
            None => {
                self.charged += bytes;
                Ok(())
            }
            Some(no) => Err(no),
        }
    }

    fn uncharge(&mut self, bytes: u64) {
        self.charged -= bytes;
        self.account_serve();
    }

    // ---- Room.

    fn refusal(&self, weight: u64) -> Option<No> {
        match self.mode {
            Mode::Open => (self.items_max == 0 || weight > self.bytes_max).then_some(No::TooLarge),
            Mode::Closed => Some(No::Closed),
            Mode::Abandoned => Some(No::Abandoned),
            Mode::Stopped => Some(No::Stopped),
        }
    }

    fn fits(&self, weight: u64) -> bool {
        self.items() < self.items_max && weight <= self.bytes_max.saturating_sub(self.bytes())
    }

    fn at_entrance(&self, waiting_only: bool) -> usize {
        let there = |producer: &&Producer| match producer.at {
            At::Entrance(granted) => !waiting_only || granted.is_none(),
            At::Account { .. } => false,
        };
        self.producers.iter().filter(there).count()
    }

    fn producer(&mut self, id: u64) -> &mut Producer {
        self.producers.iter_mut().find(|producer| producer.id == id).expect("it waits")
    }

    /// Room without waiting, by the rule; how many items were dropped for it.
    pub(crate) fn try_room(&mut self, weight: u64) -> Result<usize, No> {
        if let Some(no) = self.refusal(weight) {
            return Err(no);
        }
        if self.rule == Rule::DropOldest {
            return self.room_by_dropping(weight);
        }
        if self.at_entrance(true) > 0 || !self.fits(weight) {
            return Err(No::Full);
        }
        self.charge(weight)?;
        self.promised.push(weight);
        Ok(0)
    }

    fn room_by_dropping(&mut self, weight: u64) -> Result<usize, No> {
        let mut no = No::Full;
        for count in 0..=self.waiting.len() {
            let freed: u64 = self.waiting.iter().take(count).map(|item| item.weight).sum();
            let room = self.bytes_max.saturating_sub(self.bytes()) + freed;
            if self.items() - count >= self.items_max || weight > room {
                no = No::Full;
                continue;
            }
            let more = weight.saturating_sub(freed);
            if more > 0
                && let Some(account) = self.account_no(more)
            {
                no = account;
                continue;
            }
            self.waiting.drain(..count);
            self.charged += more;
            self.uncharge(freed.saturating_sub(weight));
            self.promised.push(weight);
            return Ok(count);
        }
        Err(no)
    }

    /// Drops a permit.
    pub(crate) fn give_back(&mut self, weight: u64) {
        self.unpromise(weight);
        self.uncharge(weight);
        self.serve();
    }

    fn unpromise(&mut self, weight: u64) {
        let at = self.promised.iter().position(|known| *known == weight).expect("it was promised");
        self.promised.swap_remove(at);
    }

    // ---- In.

    /// Fills room that was promised.
    pub(crate) fn put(&mut self, item: Item) -> Result<Did, No> {
        match self.mode {
            Mode::Abandoned | Mode::Stopped => {
                self.give_back(item.weight);
                return Err(if self.mode == Mode::Stopped { No::Stopped } else { No::Abandoned });
            }
            Mode::Open | Mode::Closed => {}
        }
        self.unpromise(item.weight);
        let same = |known: &&mut Item| known.key == item.key;
        let did = if self.rule == Rule::LatestByKey
            && let Some(known) = self.waiting.iter_mut().find(same)
        {
            let before = std::mem::replace(known, item);
            self.uncharge(before.weight);
            Did::Replaced
        } else {
            self.waiting.push_back(item);
            Did::Queued
        };
        self.serve();
        Ok(did)
    }

    /// Sends without waiting, by the rule.
    pub(crate) fn send_now(&mut self, item: Item) -> Result<Did, No> {
        if self.rule == Rule::LatestByKey
            && let Some(at) = self.waiting.iter().position(|known| known.key == item.key)
        {
            return self.put_latest(at, item);
        }
        match self.try_room(item.weight) {
            Ok(0) => self.put(item),
            Ok(dropped) => self.put(item).map(|_| Did::Displaced(dropped)),
            Err(No::Full | No::BudgetFull) if self.rule == Rule::DropNewest => Ok(Did::Dropped),
            Err(no) => Err(no),
        }
    }

    fn put_latest(&mut self, at: usize, item: Item) -> Result<Did, No> {
        if let Some(no) = self.refusal(item.weight) {
            return Err(no);
        }
        let before = self.waiting[at].weight;
        if self.bytes() - before + item.weight > self.bytes_max {
            return Err(No::Full);
        }
        if item.weight > before {
            self.charge(item.weight - before)?;
        } else {
            self.uncharge(before - item.weight);
        }
        self.waiting[at] = item;
        self.serve();
        Ok(Did::Replaced)
    }

    // ---- Producers that wait.

    /// A producer's first step: room at once, an answer, or it waits.
    pub(crate) fn acquire(&mut self, id: u64, weight: u64) -> Option<Result<(), No>> {
        if let Some(no) = self.refusal(weight) {
            return Some(Err(no));
        }
        if self.at_entrance(true) == 0 && self.fits(weight) {
            let charged = self.charge(weight).is_ok();
            self.promised.push(weight);
            return self.go_to_account(id, weight, charged);
        }
        if self.at_entrance(false) >= self.waiters_max {
            return Some(Err(No::TooManyWaiters));
        }
        self.producers.push(Producer { id, weight, at: At::Entrance(None) });
        None
    }

    /// A later step.
    pub(crate) fn look(&mut self, id: u64) -> Option<Result<(), No>> {
        let Producer { weight, at, .. } = *self.producer(id);
        match at {
            At::Entrance(None) | At::Account { granted: None, called: false } => None,
            At::Entrance(Some(granted)) => {
                self.producers.retain(|producer| producer.id != id);
                match granted {
                    Ok(charged) => self.go_to_account(id, weight, charged),
                    Err(no) => Some(Err(no)),
                }
            }
            At::Account { granted: Some(granted), .. } => {
                self.producers.retain(|producer| producer.id != id);
                if granted.is_ok() {
                    self.charged += weight;
                } else {
                    self.give_back_uncharged(weight);
                }
                Some(granted)
            }
            At::Account { granted: None, called: true } => {
                self.leave_account(id);
                self.give_back_uncharged(weight);
                Some(Err(self.refusal(weight).expect("it was called because of the end")))
            }
        }
    }

    fn go_to_account(&mut self, id: u64, weight: u64, charged: bool) -> Option<Result<(), No>> {
        if charged {
            return Some(Ok(()));
        }
        let there = self.producers.iter().filter(|known| matches!(known.at, At::Account { .. })).count();
        let no = match self.refusal(weight) {
            Some(no) => Some(no),
            None if there >= self.waiters_max => Some(No::TooManyWaiters),
            None => None,
        };
        if let Some(no) = no {
            self.give_back_uncharged(weight);
            return Some(Err(no));
        }
        match self.account_no(weight) {
            None => {
                self.charged += weight;
                Some(Ok(()))
            }
            Some(No::BudgetFull) => {
                let at = At::Account { granted: None, called: false };
                self.producers.push(Producer { id, weight, at });
                self.account_line.push(id);
                None
            }
            Some(no) => {
                self.give_back_uncharged(weight);
                Some(Err(no))
            }
        }
    }

    fn leave_account(&mut self, id: u64) {
        self.account_line.retain(|known| *known != id);
        self.producers.retain(|producer| producer.id != id);
        self.account_serve();
    }

    fn give_back_uncharged(&mut self, weight: u64) {
        self.unpromise(weight);
        self.serve();
    }

    /// A waiting producer is cancelled.
    pub(crate) fn cancel_producer(&mut self, id: u64) {
        let Producer { weight, at, .. } = *self.producer(id);
        match at {
            At::Account { .. } => {
                self.leave_account(id);
                self.give_back_uncharged(weight);
            }
            At::Entrance(granted) => {
                self.producers.retain(|producer| producer.id != id);
                match granted {
                    Some(Ok(true)) => self.give_back(weight),
                    Some(Ok(false)) => self.give_back_uncharged(weight),
                    Some(Err(_)) => {}
                    None => self.serve(),
                }
            }
        }
    }

    /// Whether the producer has something to look at.
    pub(crate) fn producer_called(&self, id: u64) -> bool {
        self.producers.iter().any(|producer| {
            producer.id == id
                && match producer.at {
                    At::Entrance(granted) => granted.is_some(),
                    At::Account { granted, called } => granted.is_some() || called,
                }
        })
    }

    // ---- Out.

    fn called(&self) -> usize {
        self.consumers.iter().filter(|consumer| consumer.call == Call::Item).count()
    }

    fn ended(&self) -> bool {
        matches!(self.mode, Mode::Closed | Mode::Abandoned) && self.items() == 0
    }

    /// What a consumer gets now.
    pub(crate) fn take(&mut self) -> Option<Result<Option<Item>, No>> {
        if self.mode == Mode::Stopped {
            return Some(Err(No::Stopped));
        }
        if self.waiting.len() > self.called() {
            let item = self.waiting.pop_front();
            self.flying.extend(item.map(|item| item.weight));
            self.serve();
            return Some(Ok(item));
        }
        self.ended().then_some(Ok(None))
    }

    /// A consumer's first step.
    pub(crate) fn recv(&mut self, id: u64) -> Option<Result<Option<Item>, No>> {
        if let Some(taken) = self.take() {
            return Some(taken);
        }
        if self.consumers.len() >= self.waiters_max {
            return Some(Err(No::TooManyWaiters));
        }
        self.consumers.push(Consumer { id, call: Call::None });
        None
    }

    /// A later step of a consumer.
    pub(crate) fn recv_again(&mut self, id: u64) -> Option<Result<Option<Item>, No>> {
        let at = self.consumers.iter().position(|known| known.id == id).expect("it waits");
        if self.consumers[at].call == Call::None {
            return None;
        }
        // Out of the line while it looks, and back to its old place when there is nothing.
        let consumer = self.consumers.remove(at);
        let taken = self.take();
        if taken.is_none() {
            self.consumers.insert(at, Consumer { call: Call::None, ..consumer });
        }
        taken
    }

    pub(crate) fn cancel_consumer(&mut self, id: u64) {
        self.consumers.retain(|consumer| consumer.id != id);
        self.serve();
    }

    pub(crate) fn consumer_called(&self, id: u64) -> bool {
        self.consumers.iter().any(|consumer| consumer.id == id && consumer.call != Call::None)
    }

    pub(crate) fn let_go(&mut self, weight: u64) {
        let at = self.flying.iter().position(|known| *known == weight).expect("it was delivered");
        self.flying.swap_remove(at);
        self.uncharge(weight);
        self.serve();
    }

    // ---- The end.

    pub(crate) fn close(&mut self) {
        if self.mode == Mode::Open {
            self.mode = Mode::Closed;
            self.serve();
        }
    }

    pub(crate) fn stop(&mut self) -> usize {
        self.mode = Mode::Stopped;
        self.drop_all()
    }

    pub(crate) fn sender_gone(&mut self) {
        self.senders -= 1;
        if self.senders == 0 {
            self.close();
        }
    }

    pub(crate) fn receiver_gone(&mut self) {
        self.receivers -= 1;
        if self.receivers == 0 && matches!(self.mode, Mode::Open | Mode::Closed) {
            self.mode = Mode::Abandoned;
            self.drop_all();
        }
    }

    fn drop_all(&mut self) -> usize {
        let weights: u64 = self.waiting.iter().map(|item| item.weight).sum();
        let count = self.waiting.len();
        self.waiting.clear();
        self.uncharge(weights);
        self.serve();
        count
    }

    fn serve(&mut self) {
        for nth in 0..self.producers.len() {
            let Producer { weight, at: At::Entrance(None), .. } = self.producers[nth] else { continue };
            let grant = match self.refusal(weight) {
                Some(no) => Err(no),
                None if !self.fits(weight) => break,
                None => {
                    let charged = self.charge(weight).is_ok();
                    self.promised.push(weight);
                    Ok(charged)
                }
            };
            self.producers[nth].at = At::Entrance(Some(grant));
        }
        if self.mode != Mode::Open {
            for producer in &mut self.producers {
                if let At::Account { called, .. } = &mut producer.at {
                    *called = true;
                }
            }
        }
        let end = self.mode == Mode::Stopped || self.ended();
        for nth in 0..self.consumers.len() {
            if self.consumers[nth].call == Call::None {
                if end {
                    self.consumers[nth].call = Call::End;
                } else if self.waiting.len() > self.called() {
                    self.consumers[nth].call = Call::Item;
                }
            }
        }
    }
}
