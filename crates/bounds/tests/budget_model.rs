//! The budget against a naive model: random trees, random limits (0 and 1 among them), random operations,
//! and waiters dropped at every point where they can wait.
//!
//! `PLIMSOLL_MODEL_OPS=100000000` makes the long run, `PLIMSOLL_MODEL_SEED` another one.
#![cfg(not(loom))]

#[path = "model/by_hand.rs"]
mod by_hand;
#[path = "model/budget.rs"]
mod model;

use std::sync::Arc;
use std::task::Poll;

use by_hand::Hand;
use fastrand::Rng;
use model::{Model, No};
use plimsoll_bounds::budget::{Account, Budget, BudgetLimits, Reservation, ReserveError, Scope};
use plimsoll_core::{Bytes, ManualClock};

type Outcome = Result<Reservation, ReserveError>;

/// A waiting request: not polled yet, or in the line under the model's number.
struct Pending {
    hand: Hand<'static, Outcome>,
    node: usize,
    bytes: u64,
    waiter: Option<u64>,
}

/// One random tree, as the budget and as the model.
struct World {
    rng: Rng,
    budget: Budget,
    accounts: Vec<Account>,
    scopes: Vec<(usize, Scope)>,
    model: Model,
    held: Vec<(u64, Reservation)>,
    pending: Vec<Pending>,
}

fn no(error: &ReserveError) -> No {
    match error {
        ReserveError::TooLarge { .. } => No::TooLarge,
        ReserveError::Full(_) => No::Full,
        ReserveError::TooManyWaiters { .. } => No::TooManyWaiters,
        ReserveError::TooManyReservations { .. } => No::TooManyReservations,
        ReserveError::Ended { .. } => No::Ended,
        ReserveError::TimedOut { .. } => unreachable!("nobody waits for a time here"),
    }
}

fn limit(rng: &mut Rng) -> u64 {
    match rng.u8(..10) {
        0 => 0,
        1 => 1,
        _ => rng.u64(2..64),
    }
}

fn bytes(rng: &mut Rng) -> u64 {
    match rng.u8(..10) {
        0 => 0,
        1 => 1,
        _ => rng.u64(1..24),
    }
}

impl World {
    fn new(mut rng: Rng) -> World {
        let whole = limit(&mut rng);
        let headroom = rng.u64(..8).min(whole);
        let reservations_max = rng.usize(1..12);
        let waiters_max = rng.usize(..6);
        let limits = BudgetLimits {
            limit: Bytes::new(whole),
            headroom: Bytes::new(headroom),
            accounts_max: 16,
            reservations_max,
            waiters_max,
        };
        let budget = Budget::new(limits, Arc::new(ManualClock::new()));
        let mut model = Model::new(reservations_max, waiters_max);
        let root = model.open(None, whole);
        model.open(Some(root), headroom);
        let open = model.open(Some(root), whole - headroom);
        // The root itself cannot be reserved from; its place in the list is taken by its open part.
        let mut accounts = vec![budget.open().clone(), budget.headroom().clone(), budget.open().clone()];
        let mut scopes = Vec::new();
        for _ in 0..rng.usize(1..5) {
            let parent = rng.usize(open..accounts.len());
            let limit = limit(&mut rng);
            let node = model.open(Some(parent), limit);
            if rng.bool() {
                accounts.push(accounts[parent].account("a", Bytes::new(limit)).expect("there is room"));
            } else {
                let scope = accounts[parent].scope("s", Bytes::new(limit)).expect("there is room");
                accounts.push(scope.account().clone());
                scopes.push((node, scope));
            }
        }
        World { rng, budget, accounts, scopes, model, held: Vec::new(), pending: Vec::new() }
    }

    fn node(&mut self) -> usize {
        self.rng.usize(1..self.accounts.len())
    }

    fn step(&mut self) {
        match self.rng.u8(..100) {
            0..20 => self.try_reserve(),
            20..38 => self.begin(),
            38..56 => self.poll(),
            56..62 => self.cancel(),
            62..80 => self.give_back(),
            80..86 => self.grow(),
            86..90 => self.shrink(),
            90..93 => self.split(),
            93..96 => self.absorb(),
            96..99 => self.set_limit(),
            _ => self.end_scope(),
        }
    }

    fn took(&mut self, real: Outcome, model: Result<u64, No>) {
        match (real, model) {
            (Ok(reservation), Ok(holding)) => self.held.push((holding, reservation)),
            (Err(error), Err(expected)) => assert_eq!(no(&error), expected, "{error}"),
            (real, model) => panic!("{real:?} against {model:?}"),
        }
    }

    fn try_reserve(&mut self) {
        let (node, bytes) = (self.node(), bytes(&mut self.rng));
        let model = self.model.try_reserve(node, bytes);
        let real = self.accounts[node].try_reserve("try", Bytes::new(bytes));
        self.took(real, model);
    }

    fn begin(&mut self) {
        if self.pending.len() < 8 {
            let (node, bytes) = (self.node(), bytes(&mut self.rng));
            let hand = Hand::new(self.accounts[node].reserve("wait", Bytes::new(bytes)));
            self.pending.push(Pending { hand, node, bytes, waiter: None });
        }
    }

    fn poll(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.pending.len());
        let pending = &mut self.pending[at];
        let expected = match pending.waiter {
            None => match self.model.reserve(pending.node, pending.bytes) {
                Ok(answer) => Some(answer),
                Err(waiter) => {
                    pending.waiter = Some(waiter);
                    None
                }
            },
            Some(waiter) => self.model.look(waiter),
        };
        match (pending.hand.poll(), expected) {
            (Poll::Pending, None) => {}
            (Poll::Ready(real), Some(model)) => {
                self.pending.swap_remove(at);
                self.took(real, model);
            }
            (real, model) => panic!("{real:?} against {model:?}"),
        }
    }

    fn cancel(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.pending.len());
        let pending = self.pending.swap_remove(at);
        if let Some(waiter) = pending.waiter {
            self.model.leave(waiter);
        }
    }

    fn any_held(&mut self) -> Option<usize> {
        (!self.held.is_empty()).then(|| self.rng.usize(..self.held.len()))
    }

    fn give_back(&mut self) {
        let Some(at) = self.any_held() else { return };
        let (holding, reservation) = self.held.swap_remove(at);
        self.model.give_back(holding);
        drop(reservation);
    }

    fn grow(&mut self) {
        let Some(at) = self.any_held() else { return };
        let more = bytes(&mut self.rng);
        let (holding, reservation) = &mut self.held[at];
        let expected = self.model.grow(*holding, more);
        assert_eq!(reservation.try_grow(Bytes::new(more)).map_err(|error| no(&error)), expected);
    }

    fn shrink(&mut self) {
        let Some(at) = self.any_held() else { return };
        let less = bytes(&mut self.rng);
        let (holding, reservation) = &mut self.held[at];
        self.model.shrink(*holding, less);
        reservation.shrink(Bytes::new(less));
    }

    fn split(&mut self) {
        let Some(at) = self.any_held() else { return };
        let part = bytes(&mut self.rng);
        let (holding, reservation) = &mut self.held[at];
        let model = self.model.split(*holding, part);
        let real = reservation.split(Bytes::new(part));
        self.took(real, model);
    }

    fn absorb(&mut self) {
        let (Some(into), Some(from)) = (self.any_held(), self.any_held()) else { return };
        if let Ok([into, from]) = self.held.get_disjoint_mut([into, from]) {
            let expected = self.model.absorb(into.0, from.0);
            assert_eq!(into.1.absorb(&mut from.1), Bytes::new(expected));
        }
    }

    fn set_limit(&mut self) {
        let (node, limit) = (self.node(), limit(&mut self.rng));
        self.model.set_limit(node, limit);
        self.accounts[node].set_limit(Bytes::new(limit));
    }

    fn end_scope(&mut self) {
        if !self.scopes.is_empty() && self.rng.u8(..8) == 0 {
            let (node, scope) = self.scopes.swap_remove(self.rng.usize(..self.scopes.len()));
            self.model.end(node);
            assert_eq!(scope.end().held, Bytes::new(self.model.held(node)));
        }
    }

    /// Everything that can be seen is what the model says.
    fn check(&self, before: &[u64]) {
        assert_eq!(self.budget.held(), Bytes::new(self.model.held(0)));
        for (node, account) in self.accounts.iter().enumerate().skip(1) {
            let (held, limit) = (self.model.held(node), self.model.nodes[node].limit);
            assert_eq!(account.held(), Bytes::new(held), "node {node}");
            // Only a limit that was lowered may lie below what is held, and then no more is added.
            assert!(held <= limit || held <= before[node], "node {node}: {held} of {limit}");
        }
        assert_eq!(self.budget.waiting(), self.model.waiting());
        for (holding, reservation) in &self.held {
            assert_eq!(reservation.bytes(), Bytes::new(self.model.bytes(*holding)));
        }
        for pending in &self.pending {
            let served = pending.waiter.is_some_and(|waiter| self.model.served(waiter));
            assert!(!served || pending.hand.woken(), "served, and asleep");
        }
    }

    fn held_by_node(&self) -> Vec<u64> {
        (0..self.accounts.len()).map(|node| self.model.held(node)).collect()
    }

    /// Lets go of everything in random order; nothing may be left.
    fn finish(mut self) {
        while !self.pending.is_empty() || !self.held.is_empty() {
            if self.rng.bool() {
                self.cancel();
            } else {
                self.give_back();
            }
        }
        assert_eq!(self.budget.held(), Bytes::ZERO);
        assert_eq!(self.budget.waiting(), 0);
        assert!(self.budget.open().holders(1).is_empty());
    }
}

#[test]
fn does_what_the_naive_model_does() {
    let (seed, ops) = (by_hand::seed(), by_hand::ops());
    let mut rng = Rng::with_seed(seed);
    let mut done = 0;
    while done < ops {
        let mut world = World::new(rng.fork());
        for _ in 0..1000 {
            let before = world.held_by_node();
            world.step();
            world.check(&before);
            done += 1;
        }
        world.finish();
    }
}
