//! A tree of accounts, each with a limit in bytes, from which memory is reserved before it is used.
//!
//! A service whose parts each keep their own limit is killed when several are full at once. With a budget
//! every part reserves from one tree, and the sum is bounded whoever asks:
//!
//! ```text
//! budget 512MiB ─┬─ pool 100MiB ──── leases
//!                ├─ hub 192MiB ───── rings
//!                ├─ requests ─┬───── scope "upload 17"
//!                │            └───── scope "upload 18"
//!                └─ headroom 8MiB    set aside for what must not fail
//! ```
//!
//! A [`Reservation`] is charged to its account and to every account above it, all in one step. It gives
//! its bytes back when it is dropped. Who finds no room fails at once ([`Account::try_reserve`]) or waits
//! in one first-come line, as a task ([`Account::reserve`]) or as a thread
//! ([`Account::reserve_blocking`]). A waiter holds back only those who want the same room: a full account
//! does not stop its siblings.
//!
//! Words: *held* is reserved now; *declared* is what the root holds, as against what is resident
//! ([`Budget::declared`]); a *scope* is an account with an end, at which it says what is still open.
//!
//! Danger: a reservation is a promise, not an allocation. Whoever reserves less than it takes, or charges
//! the slice instead of the buffer behind it, makes the ledger lie; compare [`Budget::declared`].
//!
//! **When not to use this:** for a plain counter with a maximum, a semaphore is enough; a budget costs one
//! short lock for each change.
//!
//! Memory: about 120 bytes for a reservation and 200 for an account or a scope, at most
//! `reservations_max`, `accounts_max` and `waiters_max` of them.

mod error;
mod tree;

use std::fmt;
use std::sync::Arc;
use std::task::{Poll, Waker};
#[cfg(not(loom))]
use std::time::Duration;

use plimsoll_core::{Bytes, Clock, Counter, Observe, Reading, Site, Unit};

pub use error::{Holder, OpenError, ReserveError, Shortage, TOP_HOLDERS};
use tree::{Grant, HolderId, NodeId, NodeKind, Request, Tree};

use crate::resident::{Declared, resident_memory};
use crate::sync::Mutex;
#[cfg(not(loom))]
use crate::wait::{Deadline, block_on_until};
use crate::wait::{Desk, Left, Ticket, Waiting, Wakes};

/// How many accounts may stand above one another. Each level is one more addition for each charge.
pub const DEPTH_MAX: usize = 8;

/// The limits of a budget.
#[derive(Clone, Debug)]
pub struct BudgetLimits {
    /// What all reservations together may hold.
    pub limit: Bytes,
    /// The part of `limit` that is set aside for what must not fail (error paths, shutdown, reports);
    /// reached through [`Budget::headroom`].
    pub headroom: Bytes,
    /// How many accounts and scopes may be open, each about 200 bytes.
    pub accounts_max: usize,
    /// How many reservations may live, each about 120 bytes.
    pub reservations_max: usize,
    /// How many may wait in line, each about 200 bytes.
    pub waiters_max: usize,
}

impl BudgetLimits {
    /// `limit` bytes with a sixteenth of it as headroom, at most 4,096 accounts, 65,536 reservations and
    /// 1,024 waiters: at most 9 MiB for the budget's own tables, when all are in use.
    pub fn of(limit: Bytes) -> BudgetLimits {
        BudgetLimits {
            limit,
            headroom: limit.share(1, 16),
            accounts_max: 4096,
            reservations_max: 65_536,
            waiters_max: 1024,
        }
    }
}

/// A tree of accounts. Cloning gives another handle on the same tree.
#[derive(Clone)]
pub struct Budget {
    ledger: Arc<Ledger>,
    root: Account,
    headroom: Account,
    open: Account,
}

/// An account: a limit, what it holds, and a parent that is charged as well. Cloning gives another handle.
#[derive(Clone)]
pub struct Account(Arc<AccountHandle>);

struct Ledger {
    // Guards the whole tree; held for additions and comparisons, never while a waker runs.
    tree: Mutex<Tree>,
    clock: Arc<dyn Clock>,
}

struct AccountHandle {
    ledger: Arc<Ledger>,
    node: NodeId,
    // Keeps the parent's node until this one has gone.
    _parent: Option<Account>,
}

impl Drop for AccountHandle {
    fn drop(&mut self) {
        self.ledger.tree.lock().close(self.node);
    }
}

impl Ledger {
    /// Changes the tree, then wakes whom the change served, outside the lock.
    fn change<T>(&self, change: impl FnOnce(&mut Tree, &mut Wakes) -> T) -> T {
        let mut wakes = Wakes::default();
        let result = change(&mut self.tree.lock(), &mut wakes);
        wakes.wake();
        result
    }
}

impl Budget {
    /// A budget with nothing reserved.
    ///
    /// A headroom larger than the limit is cut to the limit.
    pub fn new(limits: BudgetLimits, clock: Arc<dyn Clock>) -> Budget {
        let headroom_limit = limits.headroom.min(limits.limit);
        let (mut tree, root) = Tree::new(&limits);
        let open_limit = limits.limit.saturating_sub(headroom_limit);
        let three = "the root has room for its own two accounts";
        let headroom = tree.open(root, "headroom", NodeKind::Account, headroom_limit).expect(three);
        let open = tree.open(root, "open", NodeKind::Account, open_limit).expect(three);
        let ledger = Arc::new(Ledger { tree: Mutex::new(tree), clock });
        let account =
            |node, parent| Account(Arc::new(AccountHandle { ledger: ledger.clone(), node, _parent: parent }));
        let root = account(root, None);
        let headroom = account(headroom, Some(root.clone()));
        let open = account(open, Some(root.clone()));
        Budget { ledger, root, headroom, open }
    }

    /// Opens an account below the root.
    ///
    /// # Errors
    /// [`OpenError::TooManyAccounts`].
    pub fn account(&self, name: &str, limit: Bytes) -> Result<Account, OpenError> {
        self.open.account(name, limit)
    }

    /// The account of what must not fail. Small; nothing else is charged to it.
    pub fn headroom(&self) -> &Account {
        &self.headroom
    }

    /// Everything but the headroom: the account above all that [`Budget::account`] opens.
    pub fn open(&self) -> &Account {
        &self.open
    }

    /// The whole limit, headroom included.
    pub fn limit(&self) -> Bytes {
        self.root.limit()
    }

    /// What all reservations hold now.
    pub fn held(&self) -> Bytes {
        self.root.held()
    }

    /// Changes the whole limit; the headroom stays as it is. Takes effect as [`Account::set_limit`] does.
    pub fn set_limit(&self, limit: Bytes) {
        let open = limit.saturating_sub(self.headroom.limit());
        self.root.set_limit(limit);
        self.open.set_limit(open);
    }

    /// What the ledger says beside what the operating system says, now.
    pub fn declared(&self) -> Declared {
        Declared { declared: self.held(), resident: resident_memory() }
    }

    /// How many wait in line now.
    pub fn waiting(&self) -> usize {
        self.ledger.tree.lock().line.waiting_len()
    }
}

impl Account {
    /// Opens an account below this one. Its limit may exceed this one's; the smaller one counts.
    ///
    /// # Errors
    /// [`OpenError`] when there are too many, the tree is too deep, or this is a scope that has ended.
    pub fn account(&self, name: &str, limit: Bytes) -> Result<Account, OpenError> {
        self.open(name, NodeKind::Account, limit)
    }

    /// Opens a scope: an account for one request or task, which at its end says what is still open.
    ///
    /// # Errors
    /// As [`Account::account`].
    pub fn scope(&self, name: &str, limit: Bytes) -> Result<Scope, OpenError> {
        Ok(Scope { account: self.open(name, NodeKind::Scope, limit)?, ended: false })
    }

    fn open(&self, name: &str, kind: NodeKind, limit: Bytes) -> Result<Account, OpenError> {
        let ledger = self.0.ledger.clone();
        let node = ledger.tree.lock().open(self.0.node, name, kind, limit)?;
        Ok(Account(Arc::new(AccountHandle { ledger, node, _parent: Some(self.clone()) })))
    }

    /// Where this account stands: `budget/open/pool`.
    pub fn path(&self) -> String {
        self.0.ledger.tree.lock().node(self.0.node).path.to_string()
    }

    /// What this account may hold.
    pub fn limit(&self) -> Bytes {
        self.0.ledger.tree.lock().node(self.0.node).limit
    }

    /// What it holds now, the accounts below it included.
    pub fn held(&self) -> Bytes {
        self.0.ledger.tree.lock().node(self.0.node).held
    }

    /// Changes the limit. Raised, the line is looked at again. Lowered below what is held, nothing is
    /// taken away; nothing more is granted until enough came back, and waiters who could now never be
    /// served are refused as too large.
    pub fn set_limit(&self, limit: Bytes) {
        let ledger = &self.0.ledger;
        let now = ledger.clock.now();
        ledger.change(|tree, wakes| tree.set_limit(self.0.node, limit, now, wakes));
    }

    /// The live reservations charged to this account or below, largest first, at most `most`.
    pub fn holders(&self, most: usize) -> Vec<Holder> {
        let ledger = &self.0.ledger;
        let now = ledger.clock.now();
        ledger.tree.lock().holders(self.0.node, now, most)
    }

    /// Reserves now or not at all. Does not pass those who wait for the same room.
    ///
    /// # Errors
    /// [`ReserveError::TooLarge`], [`ReserveError::Full`], [`ReserveError::TooManyReservations`],
    /// [`ReserveError::Ended`].
    #[track_caller]
    pub fn try_reserve(&self, name: &'static str, bytes: Bytes) -> Result<Reservation, ReserveError> {
        let request = self.request(name, bytes, Site::caller());
        let ledger = &self.0.ledger;
        let now = ledger.clock.now();
        let holder = ledger.tree.lock().try_reserve(request, now)?;
        Ok(self.reservation(holder, bytes))
    }

    /// Reserves, waiting in line for as long as the caller cares to poll.
    ///
    /// *Cancel safety:* dropping the future loses its place in line; a grant it had not seen goes to the
    /// next. *Bound:* the line holds `waiters_max`; the time is the caller's to bound, or use
    /// [`Account::reserve_within`].
    ///
    /// # Errors
    /// As [`Account::try_reserve`] except `Full`, and [`ReserveError::TooManyWaiters`].
    #[track_caller]
    pub fn reserve(
        &self,
        name: &'static str,
        bytes: Bytes,
    ) -> impl Future<Output = Result<Reservation, ReserveError>> + Send + use<> {
        let request = self.request(name, bytes, Site::caller());
        let account = self.clone();
        async move {
            let ledger = &account.0.ledger;
            let now = ledger.clock.now();
            // A statement of its own, so that the lock is not held into the wait.
            let joined = ledger.tree.lock().reserve_or_join(request, now);
            let grant = match joined {
                Ok(grant) => grant,
                Err(ticket) => Waiting::new(&**ledger, ticket).await,
            };
            Ok(account.reservation(grant?, bytes))
        }
    }

    /// Reserves, waiting in line for at most `patience`. Zero patience is a try.
    ///
    /// *Cancel safety:* as [`Account::reserve`]. Needs a tokio runtime with its timer on.
    ///
    /// # Errors
    /// As [`Account::reserve`], and [`ReserveError::TimedOut`].
    #[cfg(not(loom))]
    #[track_caller]
    pub fn reserve_within(
        &self,
        name: &'static str,
        bytes: Bytes,
        patience: Duration,
    ) -> impl Future<Output = Result<Reservation, ReserveError>> + Send + use<> {
        let request = self.request(name, bytes, Site::caller());
        let waiting = self.reserve(name, bytes);
        let account = self.clone();
        async move {
            match tokio::time::timeout(patience, waiting).await {
                Ok(result) => result,
                Err(_elapsed) => Err(account.timed_out(&request, patience)),
            }
        }
    }

    /// Reserves on a plain thread, waiting in the same line for at most `patience`. Not for use inside an
    /// async task: it stops the thread.
    ///
    /// # Errors
    /// As [`Account::reserve_within`].
    #[cfg(not(loom))]
    #[track_caller]
    pub fn reserve_blocking(
        &self,
        name: &'static str,
        bytes: Bytes,
        patience: Duration,
    ) -> Result<Reservation, ReserveError> {
        let request = self.request(name, bytes, Site::caller());
        match block_on_until(self.reserve(name, bytes), Deadline::after(patience)) {
            Some(result) => result,
            None => Err(self.timed_out(&request, patience)),
        }
    }

    #[cfg(not(loom))]
    fn timed_out(&self, request: &Request, waited: Duration) -> ReserveError {
        let ledger = &self.0.ledger;
        let now = ledger.clock.now();
        ledger.tree.lock().timed_out(request, waited, now)
    }

    fn request(&self, name: &'static str, bytes: Bytes, site: Site) -> Request {
        Request { node: self.0.node, name, bytes, site }
    }

    fn reservation(&self, holder: HolderId, bytes: Bytes) -> Reservation {
        Reservation { account: self.clone(), holder, bytes }
    }
}

impl Desk for Ledger {
    type Grant = Grant;

    fn poll_ticket(&self, ticket: Ticket, waker: &Waker) -> Poll<Grant> {
        self.tree.lock().line.poll(ticket, waker)
    }

    fn leave(&self, ticket: Ticket) {
        let now = self.clock.now();
        self.change(|tree, wakes| match tree.line.leave(ticket) {
            Left::Granted(Ok(holder)) => tree.give_back(holder, now, wakes),
            // One who only waited may have held back those behind it.
            Left::Waiting(_) => tree.serve(now, wakes),
            Left::Granted(Err(_)) | Left::Nothing => {}
        });
    }
}

/// Bytes charged to an account. Dropping it gives them back and serves the line.
///
/// A forgotten reservation (`mem::forget`) stays charged and listed, with its site and age.
#[must_use = "dropping a reservation gives its bytes back"]
pub struct Reservation {
    account: Account,
    holder: HolderId,
    bytes: Bytes,
}

impl Reservation {
    /// What is reserved.
    pub fn bytes(&self) -> Bytes {
        self.bytes
    }

    /// Reserves `more` on top, now or not at all.
    ///
    /// # Errors
    /// As [`Account::try_reserve`]; the reservation is then as it was.
    pub fn try_grow(&mut self, more: Bytes) -> Result<(), ReserveError> {
        let ledger = &self.account.0.ledger;
        let now = ledger.clock.now();
        ledger.tree.lock().try_grow(self.holder, more, now)?;
        self.bytes += more;
        Ok(())
    }

    /// Reserves `more` on top if that is possible now. No error is made and nothing counted when it is not:
    /// for owners that then wait, or make room themselves.
    pub(crate) fn grow_if_room(&mut self, more: Bytes) -> bool {
        let grown = self.account.0.ledger.tree.lock().grow_if_room(self.holder, more).is_ok();
        if grown {
            self.bytes += more;
        }
        grown
    }

    /// Takes over all that `other` holds, if it is charged to the same account; returns how much that was.
    /// Nothing is given back between.
    pub fn absorb(&mut self, other: &mut Reservation) -> Bytes {
        let ledger = &self.account.0.ledger;
        let same_tree = Arc::ptr_eq(ledger, &other.account.0.ledger);
        if !same_tree || !ledger.tree.lock().absorb(self.holder, other.holder) {
            return Bytes::ZERO;
        }
        let moved = std::mem::take(&mut other.bytes);
        self.bytes += moved;
        moved
    }

    /// Gives `less` back, at most all; returns how much that was.
    pub fn shrink(&mut self, less: Bytes) -> Bytes {
        let mut wakes = Wakes::default();
        let less = self.shrink_deferred(less, &mut wakes);
        wakes.wake();
        less
    }

    /// [`Reservation::shrink`] for owners that shrink under a lock of their own and wake after it.
    pub(crate) fn shrink_deferred(&mut self, less: Bytes, wakes: &mut Wakes) -> Bytes {
        let less = less.min(self.bytes);
        let ledger = &self.account.0.ledger;
        let now = ledger.clock.now();
        ledger.tree.lock().shrink(self.holder, less, now, wakes);
        self.bytes -= less;
        less
    }

    /// Moves `part` of it, at most all, into a reservation of its own. Nothing is given back between.
    ///
    /// # Errors
    /// [`ReserveError::TooManyReservations`]; the reservation is then as it was.
    pub fn split(&mut self, part: Bytes) -> Result<Reservation, ReserveError> {
        let part = part.min(self.bytes);
        let holder = self.account.0.ledger.tree.lock().split(self.holder, part)?;
        self.bytes -= part;
        Ok(self.account.reservation(holder, part))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let ledger = &self.account.0.ledger;
        let now = ledger.clock.now();
        ledger.change(|tree, wakes| tree.give_back(self.holder, now, wakes));
    }
}

/// An account with an end. Ending it, or dropping it, refuses everything new and says what is open.
///
/// What is still open stays charged until it is dropped: the bytes are in use, whatever the plan was.
pub struct Scope {
    account: Account,
    ended: bool,
}

/// What was still reserved when a scope ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeReport {
    /// Path of the scope.
    pub account: String,
    /// What is still held in all.
    pub held: Bytes,
    /// The largest that are open, at most [`TOP_HOLDERS`], largest first.
    pub open: Vec<Holder>,
}

impl Scope {
    /// The account to reserve from.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Ends the scope and says what is still open: nothing, when all went well.
    pub fn end(mut self) -> ScopeReport {
        self.close();
        let account = &self.account;
        ScopeReport { account: account.path(), held: account.held(), open: account.holders(TOP_HOLDERS) }
    }

    fn close(&mut self) {
        if !self.ended {
            self.ended = true;
            let ledger = &self.account.0.ledger;
            let now = ledger.clock.now();
            ledger.change(|tree, wakes| tree.end(self.account.0.node, now, wakes));
        }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        self.close();
    }
}

impl Observe for Budget {
    fn observe(&self, out: &mut Vec<Reading>) {
        let resident = resident_memory().unwrap_or_default();
        let tree = self.ledger.tree.lock();
        out.extend(tree.accounts().map(|node| Reading {
            name: node.path.replace('/', "."),
            unit: Unit::Bytes,
            limit: node.limit.as_u64(),
            used: node.held.as_u64(),
            peak: node.peak.as_u64(),
            rejected: node.rejected,
            counters: match node.parent {
                // What the ledger declares, held against what the system says. See `Declared`.
                None => vec![
                    Counter { name: "resident_bytes", value: resident.as_u64() },
                    Counter { name: "unexplained_bytes", value: resident.saturating_sub(node.held).as_u64() },
                ],
                Some(_) => Vec::new(),
            },
        }));
        out.push(Reading {
            name: "budget.waiters".to_owned(),
            unit: Unit::Items,
            limit: tree.line.waiters_max() as u64,
            used: tree.line.waiting_len() as u64,
            peak: tree.waiters_peak as u64,
            rejected: tree.waiters_refused,
            counters: vec![Counter { name: "timed_out", value: tree.waited_timeouts }],
        });
        out.push(Reading {
            name: "budget.reservations".to_owned(),
            unit: Unit::Items,
            limit: tree.reservations_max as u64,
            used: tree.reservations_len() as u64,
            peak: tree.reservations_peak as u64,
            rejected: tree.reservations_refused,
            counters: Vec::new(),
        });
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget({} of {})", self.held(), self.limit())
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({}: {} of {})", self.path(), self.held(), self.limit())
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reservation({} of {})", self.bytes, self.account.path())
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({})", self.account.path())
    }
}
