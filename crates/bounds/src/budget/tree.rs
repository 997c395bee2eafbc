//! The accounts and the line of those who wait, as plain data: no lock, no clock, no wakers run.
//!
//! One structure for the whole tree, so that a charge on a leaf and all its ancestors is one step and no
//! interleaving can admit too much. The price is one lock for each tree; it is held for a handful of
//! additions.
//!
//! Invariants, checked in debug builds after each change:
//! - a node's `held` is the sum of its own reservations and its children's `held`;
//! - an ordinary grant never takes a node over its limit (a limit that was lowered may lie below `held`;
//!   then nothing is granted until enough came back);
//! - `blocked` is set on the nodes for whose room somebody in the line waits, as it was when that one came
//!   or when something was last given back.

use std::collections::BTreeMap;
use std::sync::Arc;
#[cfg(not(loom))]
use std::time::Duration;

use plimsoll_core::{Bytes, Site, Tick};

use super::error::{Holder, OpenError, ReserveError, Shortage, TOP_HOLDERS};
use super::{BudgetLimits, DEPTH_MAX};
use crate::wait::{Line, Ticket, Wakes};

/// The accounts that every budget has: the root, the headroom and the open part. They are not among those
/// that callers may open.
const OWN_ACCOUNTS: usize = 3;

/// Names a node. Numbers are never used again, so a stale one finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(u64);

/// Names a live reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HolderId(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeKind {
    /// Lives as long as the service; shown by `Observe`.
    Account,
    /// Lives as long as a request or a task; too many and too short-lived to be shown each.
    Scope,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) path: Arc<str>,
    pub(super) kind: NodeKind,
    pub(super) parent: Option<NodeId>,
    pub(super) limit: Bytes,
    pub(super) held: Bytes,
    pub(super) peak: Bytes,
    pub(super) rejected: u64,
    ended: bool,
    // Somebody in the line waits for room here: those who come now may not pass.
    blocked: bool,
}

impl Node {
    /// Whether `bytes` more do not fit. Said so that neither a limit below what is held nor a sum beyond
    /// what a number can say lets anything through.
    fn lacks(&self, bytes: Bytes) -> bool {
        bytes > self.limit.saturating_sub(self.held)
    }
}

#[derive(Debug)]
struct Record {
    node: NodeId,
    name: &'static str,
    bytes: Bytes,
    since: Tick,
    site: Site,
}

/// What a reservation asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) node: NodeId,
    pub(super) name: &'static str,
    pub(super) bytes: Bytes,
    pub(super) site: Site,
}

pub(super) type Grant = Result<HolderId, ReserveError>;

#[derive(Debug)]
pub(super) struct Tree {
    // Nodes leave in `close`, called when the last handle of an account is dropped.
    nodes: BTreeMap<NodeId, Node>,
    // Records leave in `give_back`, called when a reservation is dropped.
    records: BTreeMap<HolderId, Record>,
    pub(super) line: Line<Request, Grant>,
    next_id: u64,
    // Whether any node is `blocked`.
    anyone_blocked: bool,
    accounts_max: usize,
    pub(super) reservations_max: usize,
    pub(super) reservations_peak: usize,
    pub(super) waiters_peak: usize,
    pub(super) reservations_refused: u64,
    pub(super) waiters_refused: u64,
    pub(super) waited_timeouts: u64,
}

impl Tree {
    pub(super) fn new(limits: &BudgetLimits) -> (Tree, NodeId) {
        let mut tree = Tree {
            nodes: BTreeMap::new(),
            records: BTreeMap::new(),
            line: Line::new(limits.waiters_max),
            next_id: 0,
            anyone_blocked: false,
            accounts_max: limits.accounts_max,
            reservations_max: limits.reservations_max,
            reservations_peak: 0,
            waiters_peak: 0,
            reservations_refused: 0,
            waiters_refused: 0,
            waited_timeouts: 0,
        };
        let root = tree.insert("budget".into(), NodeKind::Account, None, limits.limit);
        (tree, root)
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn insert(&mut self, path: Arc<str>, kind: NodeKind, parent: Option<NodeId>, limit: Bytes) -> NodeId {
        let id = NodeId(self.next_id());
        let (held, peak) = (Bytes::ZERO, Bytes::ZERO);
        let node = Node { path, kind, parent, limit, held, peak, rejected: 0, ended: false, blocked: false };
        self.nodes.insert(id, node);
        id
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        // A handle keeps its node: `close` runs when the last one is dropped.
        &self.nodes[&id]
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("a handle keeps its node")
    }

    pub(super) fn accounts(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| node.kind == NodeKind::Account)
    }

    /// The node and its ancestors, leaf first.
    fn path_ids(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        std::iter::successors(Some(node), |id| self.node(*id).parent)
    }

    pub(super) fn open(
        &mut self,
        parent: NodeId,
        name: &str,
        kind: NodeKind,
        limit: Bytes,
    ) -> Result<NodeId, OpenError> {
        if self.nodes.len() >= self.accounts_max.saturating_add(OWN_ACCOUNTS) {
            return Err(OpenError::TooManyAccounts { accounts_max: self.accounts_max });
        }
        let above = self.node(parent);
        if above.ended {
            return Err(OpenError::Ended { parent: above.path.to_string() });
        }
        if self.path_ids(parent).count() >= DEPTH_MAX {
            return Err(OpenError::TooDeep { parent: above.path.to_string() });
        }
        let path = format!("{}/{name}", above.path).into();
        Ok(self.insert(path, kind, Some(parent), limit))
    }

    /// Forgets a node that no handle, and so no reservation and no child, refers to any more.
    pub(super) fn close(&mut self, id: NodeId) {
        let node = self.nodes.remove(&id);
        debug_assert!(node.is_none_or(|node| node.held.is_zero()), "a reservation keeps its account");
    }

    /// No new reservation on this node from now on. Those waiting for it are refused.
    pub(super) fn end(&mut self, id: NodeId, now: Tick, wakes: &mut Wakes) {
        self.node_mut(id).ended = true;
        self.serve(now, wakes);
    }

    pub(super) fn set_limit(&mut self, id: NodeId, limit: Bytes, now: Tick, wakes: &mut Wakes) {
        self.node_mut(id).limit = limit;
        self.serve(now, wakes);
    }

    /// Grants at once, or says why not. Never passes somebody who waits for the same room.
    pub(super) fn try_reserve(&mut self, request: Request, now: Tick) -> Grant {
        let refused = match self.obstacle(&request) {
            None => return Ok(self.record(request, now)),
            Some(obstacle) => obstacle,
        };
        Err(self.refuse(&request, refused, now))
    }

    /// Grants at once, or takes a place in the line, or says why neither can be.
    pub(super) fn reserve_or_join(&mut self, request: Request, now: Tick) -> Result<Grant, Ticket> {
        let Some(obstacle) = self.obstacle(&request) else {
            return Ok(Ok(self.record(request, now)));
        };
        if let Obstacle::NoRoom(_) = obstacle {
            return match self.line.join(request) {
                Ok(ticket) => {
                    self.waiters_peak = self.waiters_peak.max(self.line.waiting_len());
                    self.mark_blocked(&request);
                    Err(ticket)
                }
                Err(_) => {
                    self.waiters_refused += 1;
                    Ok(Err(ReserveError::TooManyWaiters { waiters_max: self.line.waiters_max() }))
                }
            };
        }
        Ok(Err(self.refuse(&request, obstacle, now)))
    }

    /// Adds to a reservation, by the same rules as a new one.
    pub(super) fn try_grow(&mut self, holder: HolderId, more: Bytes, now: Tick) -> Result<(), ReserveError> {
        if let Err((request, obstacle)) = self.grow_if_room(holder, more) {
            return Err(self.refuse(&request, obstacle, now));
        }
        Ok(())
    }

    /// [`Tree::try_grow`] without the counting and the telling when there is no room, for owners that then
    /// wait or make room themselves.
    pub(super) fn grow_if_room(&mut self, holder: HolderId, more: Bytes) -> Result<(), (Request, Obstacle)> {
        let record = &self.records[&holder];
        let request = Request { node: record.node, name: record.name, bytes: more, site: record.site };
        // Growing adds no record, so their number is no obstacle.
        if let Some(obstacle) = self.obstacle_to_bytes(&request) {
            return Err((request, obstacle));
        }
        self.charge(request.node, more);
        self.records.get_mut(&holder).expect("its handle is alive").bytes += more;
        Ok(())
    }

    pub(super) fn shrink(&mut self, holder: HolderId, less: Bytes, now: Tick, wakes: &mut Wakes) {
        let record = self.records.get_mut(&holder).expect("its handle is alive");
        record.bytes -= less;
        let node = record.node;
        self.discharge(node, less);
        self.serve(now, wakes);
    }

    /// Moves a part of a reservation into one of its own; the sum does not change.
    pub(super) fn split(&mut self, holder: HolderId, part: Bytes) -> Result<HolderId, ReserveError> {
        if self.records.len() >= self.reservations_max {
            self.reservations_refused += 1;
            return Err(ReserveError::TooManyReservations { reservations_max: self.reservations_max });
        }
        let record = self.records.get_mut(&holder).expect("its handle is alive");
        record.bytes -= part;
        let Record { node, name, since, site, .. } = *record;
        let id = HolderId(self.next_id());
        self.records.insert(id, Record { node, name, bytes: part, since, site });
        Ok(id)
    }

    /// Moves all that `other` holds into `holder`, when both are charged to the same account; the sum does
    /// not change. Says whether it did.
    pub(super) fn absorb(&mut self, holder: HolderId, other: HolderId) -> bool {
        if holder == other || self.records[&holder].node != self.records[&other].node {
            return false;
        }
        let from = self.records.get_mut(&other).expect("its handle is alive");
        let moved = std::mem::take(&mut from.bytes);
        self.records.get_mut(&holder).expect("its handle is alive").bytes += moved;
        true
    }

    pub(super) fn give_back(&mut self, holder: HolderId, now: Tick, wakes: &mut Wakes) {
        let Some(record) = self.records.remove(&holder) else {
            debug_assert!(false, "a reservation is given back once");
            return;
        };
        self.discharge(record.node, record.bytes);
        self.serve(now, wakes);
    }

    /// Looks through the line from its head and grants whatever fits.
    ///
    /// A waiter for whom there is no room keeps the room it waits for: nobody behind it may be served from
    /// the same nodes. Others, on branches that it does not need, are served past it.
    pub(super) fn serve(&mut self, now: Tick, wakes: &mut Wakes) {
        // Nodes are looked at only while somebody waits, or did at the last look.
        if std::mem::take(&mut self.anyone_blocked) {
            for node in self.nodes.values_mut() {
                node.blocked = false;
            }
        }
        if self.line.waiting_len() > 0 {
            let waiting: Vec<(Ticket, Request)> =
                self.line.waiting().map(|(ticket, request)| (ticket, *request)).collect();
            for (ticket, request) in waiting {
                let grant = match self.obstacle(&request) {
                    None => Ok(self.record(request, now)),
                    Some(Obstacle::NoRoom(_)) => {
                        self.mark_blocked(&request);
                        continue;
                    }
                    // The limit was lowered under it, its scope ended, or too many others were granted.
                    Some(obstacle) => Err(self.refuse(&request, obstacle, now)),
                };
                self.line.grant(ticket, grant, wakes);
            }
        }
        self.check();
    }

    fn mark_blocked(&mut self, request: &Request) {
        self.anyone_blocked = true;
        let path: Vec<NodeId> = self.path_ids(request.node).collect();
        for id in path {
            let node = self.node_mut(id);
            node.blocked |= node.lacks(request.bytes);
        }
    }

    fn obstacle(&self, request: &Request) -> Option<Obstacle> {
        let obstacle = self.obstacle_to_bytes(request);
        // Nobody waits for a record: when there is none to be had, that is the answer.
        if matches!(obstacle, None | Some(Obstacle::NoRoom(_))) && self.records.len() >= self.reservations_max
        {
            return Some(Obstacle::TooManyReservations);
        }
        obstacle
    }

    fn obstacle_to_bytes(&self, request: &Request) -> Option<Obstacle> {
        let mut no_room = None;
        for id in self.path_ids(request.node) {
            let node = self.node(id);
            if node.ended {
                return Some(Obstacle::Ended(id));
            }
            if request.bytes > node.limit {
                return Some(Obstacle::TooLarge(id));
            }
            // Nothing to take passes everybody: it takes nobody's room.
            let waits = node.blocked && !request.bytes.is_zero();
            if waits || node.lacks(request.bytes) {
                no_room = no_room.or(Some(id));
            }
        }
        no_room.map(Obstacle::NoRoom)
    }

    fn record(&mut self, request: Request, now: Tick) -> HolderId {
        self.charge(request.node, request.bytes);
        let id = HolderId(self.next_id());
        let Request { node, name, bytes, site } = request;
        self.records.insert(id, Record { node, name, bytes, since: now, site });
        self.reservations_peak = self.reservations_peak.max(self.records.len());
        id
    }

    fn charge(&mut self, leaf: NodeId, bytes: Bytes) {
        let mut next = Some(leaf);
        while let Some(id) = next {
            let node = self.node_mut(id);
            node.held += bytes;
            debug_assert!(bytes.is_zero() || node.held <= node.limit, "{} over its limit", node.path);
            node.peak = node.peak.max(node.held);
            next = node.parent;
        }
    }

    fn discharge(&mut self, leaf: NodeId, bytes: Bytes) {
        let mut next = Some(leaf);
        while let Some(id) = next {
            let node = self.node_mut(id);
            node.held -= bytes;
            next = node.parent;
        }
    }

    fn refuse(&mut self, request: &Request, obstacle: Obstacle, now: Tick) -> ReserveError {
        let asked = request.bytes;
        match obstacle {
            Obstacle::Ended(id) => ReserveError::Ended { account: self.node(id).path.to_string() },
            Obstacle::TooLarge(id) => {
                let node = self.node_mut(id);
                node.rejected += 1;
                ReserveError::TooLarge { asked, account: node.path.to_string(), limit: node.limit }
            }
            Obstacle::NoRoom(id) => {
                self.node_mut(id).rejected += 1;
                ReserveError::Full(Box::new(self.shortage(id, asked, now)))
            }
            Obstacle::TooManyReservations => {
                self.reservations_refused += 1;
                ReserveError::TooManyReservations { reservations_max: self.reservations_max }
            }
        }
    }

    /// How things stand for a waiter that gave up, counted as refused.
    #[cfg(not(loom))]
    pub(super) fn timed_out(&mut self, request: &Request, waited: Duration, now: Tick) -> ReserveError {
        self.waited_timeouts += 1;
        let full = self.path_ids(request.node).find(|id| {
            let node = self.node(*id);
            node.blocked || node.lacks(request.bytes)
        });
        let at = full.unwrap_or(request.node);
        self.node_mut(at).rejected += 1;
        let shortage = Box::new(self.shortage(at, request.bytes, now));
        ReserveError::TimedOut { waited, shortage }
    }

    fn shortage(&self, at: NodeId, asked: Bytes, now: Tick) -> Shortage {
        let node = self.node(at);
        Shortage {
            asked,
            account: node.path.to_string(),
            limit: node.limit,
            held: node.held,
            left: node.limit.saturating_sub(node.held),
            waiting: self.line.waiting_len(),
            top_holders: self.holders(at, now, TOP_HOLDERS),
        }
    }

    /// The largest reservations charged to `node`, at most `most`, largest first, then oldest first.
    ///
    /// Walks over all live reservations: for errors and reports, not for the way of a byte.
    pub(super) fn holders(&self, node: NodeId, now: Tick, most: usize) -> Vec<Holder> {
        // Only the largest are kept while walking: a refusal among thousands of reservations sorts nothing.
        let mut top: Vec<&Record> = Vec::new();
        for record in self.records.values() {
            // Ids go up with time, so of two that hold the same the older one stands first already.
            let at = top.partition_point(|larger| larger.bytes >= record.bytes);
            if at < most && self.path_ids(record.node).any(|above| above == node) {
                top.truncate(most - 1);
                top.insert(at, record);
            }
        }
        let show = |record: &Record| Holder {
            account: self.node(record.node).path.to_string(),
            name: record.name,
            bytes: record.bytes,
            age: now.since(record.since),
            site: record.site,
        };
        top.into_iter().map(show).collect()
    }

    pub(super) fn reservations_len(&self) -> usize {
        self.records.len()
    }

    /// The invariants at the head of this file. Walks everything, so it runs on small trees only.
    fn check(&self) {
        if !cfg!(debug_assertions) || self.records.len() > 64 {
            return;
        }
        for (id, node) in &self.nodes {
            let own: Bytes =
                self.records.values().filter(|record| record.node == *id).map(|record| record.bytes).sum();
            let below: Bytes =
                self.nodes.values().filter(|child| child.parent == Some(*id)).map(|child| child.held).sum();
            debug_assert_eq!(node.held, own + below, "{} adds up", node.path);
        }
    }
}

/// What stands between a request and its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Obstacle {
    Ended(NodeId),
    TooLarge(NodeId),
    NoRoom(NodeId),
    TooManyReservations,
}
