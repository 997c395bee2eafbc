//! What a budget should do, written as plainly as it can be: lists instead of maps, sums counted anew each
//! time, no state that could go stale.

/// An account or a scope.
pub(crate) struct Node {
    pub(crate) parent: Option<usize>,
    pub(crate) limit: u64,
    pub(crate) ended: bool,
    /// Somebody in the line wants room here that there is not.
    blocked: bool,
}

/// Why a request is refused, without the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum No {
    TooLarge,
    Full,
    TooManyWaiters,
    TooManyReservations,
    Ended,
}

/// One who stands in the line, or has been served and did not look yet.
struct Waiter {
    id: u64,
    node: usize,
    bytes: u64,
    served: Option<Result<u64, No>>,
}

struct Holding {
    id: u64,
    node: usize,
    bytes: u64,
}

pub(crate) struct Model {
    pub(crate) nodes: Vec<Node>,
    holdings: Vec<Holding>,
    line: Vec<Waiter>,
    reservations_max: usize,
    waiters_max: usize,
    next: u64,
}

impl Model {
    pub(crate) fn new(reservations_max: usize, waiters_max: usize) -> Model {
        Model {
            nodes: Vec::new(),
            holdings: Vec::new(),
            line: Vec::new(),
            reservations_max,
            waiters_max,
            next: 0,
        }
    }

    pub(crate) fn open(&mut self, parent: Option<usize>, limit: u64) -> usize {
        self.nodes.push(Node { parent, limit, ended: false, blocked: false });
        self.nodes.len() - 1
    }

    fn path(&self, node: usize) -> Vec<usize> {
        std::iter::successors(Some(node), |node| self.nodes[*node].parent).collect()
    }

    pub(crate) fn held(&self, node: usize) -> u64 {
        let below = |holding: &&Holding| self.path(holding.node).contains(&node);
        self.holdings.iter().filter(below).map(|holding| holding.bytes).sum()
    }

    pub(crate) fn bytes(&self, holding: u64) -> u64 {
        self.holdings.iter().find(|known| known.id == holding).expect("it is held").bytes
    }

    pub(crate) fn waiting(&self) -> usize {
        self.line.iter().filter(|waiter| waiter.served.is_none()).count()
    }

    /// Whether the waiter was served and has only to look.
    pub(crate) fn served(&self, waiter: u64) -> bool {
        self.line.iter().any(|known| known.id == waiter && known.served.is_some())
    }

    fn lacks(&self, node: usize, bytes: u64) -> bool {
        bytes > self.nodes[node].limit.saturating_sub(self.held(node))
    }

    fn bytes_no(&self, node: usize, bytes: u64) -> Option<No> {
        for at in self.path(node) {
            if self.nodes[at].ended {
                return Some(No::Ended);
            }
            if bytes > self.nodes[at].limit {
                return Some(No::TooLarge);
            }
        }
        let short = |at: &usize| self.lacks(*at, bytes) || (self.nodes[*at].blocked && bytes > 0);
        self.path(node).iter().any(short).then_some(No::Full)
    }

    fn no(&self, node: usize, bytes: u64) -> Option<No> {
        match self.bytes_no(node, bytes) {
            None | Some(No::Full) if self.holdings.len() >= self.reservations_max => {
                Some(No::TooManyReservations)
            }
            no => no,
        }
    }

    fn hold(&mut self, node: usize, bytes: u64) -> u64 {
        self.next += 1;
        self.holdings.push(Holding { id: self.next, node, bytes });
        self.next
    }

    fn block(&mut self, node: usize, bytes: u64) {
        for at in self.path(node) {
            self.nodes[at].blocked |= self.lacks(at, bytes);
        }
    }

    fn serve(&mut self) {
        for node in &mut self.nodes {
            node.blocked = false;
        }
        for nth in 0..self.line.len() {
            let Waiter { node, bytes, served: None, .. } = self.line[nth] else { continue };
            let answer = match self.no(node, bytes) {
                None => Ok(self.hold(node, bytes)),
                Some(No::Full) => {
                    self.block(node, bytes);
                    continue;
                }
                Some(no) => Err(no),
            };
            self.line[nth].served = Some(answer);
        }
    }

    pub(crate) fn try_reserve(&mut self, node: usize, bytes: u64) -> Result<u64, No> {
        match self.no(node, bytes) {
            None => Ok(self.hold(node, bytes)),
            Some(no) => Err(no),
        }
    }

    /// The first step of a waiting request: an answer, or the number of the waiter.
    pub(crate) fn reserve(&mut self, node: usize, bytes: u64) -> Result<Result<u64, No>, u64> {
        match self.no(node, bytes) {
            None => Ok(Ok(self.hold(node, bytes))),
            Some(No::Full) if self.line.len() >= self.waiters_max => Ok(Err(No::TooManyWaiters)),
            Some(No::Full) => {
                self.next += 1;
                self.line.push(Waiter { id: self.next, node, bytes, served: None });
                self.block(node, bytes);
                Err(self.next)
            }
            Some(no) => Ok(Err(no)),
        }
    }

    /// A later step: the answer, if there is one.
    pub(crate) fn look(&mut self, waiter: u64) -> Option<Result<u64, No>> {
        let at = self.line.iter().position(|known| known.id == waiter).expect("it stands in the line");
        self.line[at].served.is_some().then(|| self.line.remove(at).served).flatten()
    }

    /// The waiter is cancelled.
    pub(crate) fn leave(&mut self, waiter: u64) {
        let at = self.line.iter().position(|known| known.id == waiter).expect("it stands in the line");
        match self.line.remove(at).served {
            Some(Ok(holding)) => self.give_back(holding),
            Some(Err(_)) => {}
            None => self.serve(),
        }
    }

    pub(crate) fn give_back(&mut self, holding: u64) {
        self.holdings.retain(|known| known.id != holding);
        self.serve();
    }

    pub(crate) fn grow(&mut self, holding: u64, more: u64) -> Result<(), No> {
        let at = self.holdings.iter().position(|known| known.id == holding).expect("it is held");
        if let Some(no) = self.bytes_no(self.holdings[at].node, more) {
            return Err(no);
        }
        self.holdings[at].bytes += more;
        Ok(())
    }

    pub(crate) fn shrink(&mut self, holding: u64, less: u64) {
        let at = self.holdings.iter().position(|known| known.id == holding).expect("it is held");
        self.holdings[at].bytes = self.holdings[at].bytes.saturating_sub(less);
        self.serve();
    }

    pub(crate) fn split(&mut self, holding: u64, part: u64) -> Result<u64, No> {
        if self.holdings.len() >= self.reservations_max {
            return Err(No::TooManyReservations);
        }
        let at = self.holdings.iter().position(|known| known.id == holding).expect("it is held");
        let part = part.min(self.holdings[at].bytes);
        self.holdings[at].bytes -= part;
        let node = self.holdings[at].node;
        Ok(self.hold(node, part))
    }

    pub(crate) fn absorb(&mut self, holding: u64, other: u64) -> u64 {
        let at = |id: u64| self.holdings.iter().position(|known| known.id == id).expect("it is held");
        let (into, from) = (at(holding), at(other));
        if self.holdings[into].node != self.holdings[from].node {
            return 0;
        }
        let moved = std::mem::take(&mut self.holdings[from].bytes);
        self.holdings[into].bytes += moved;
        moved
    }

    pub(crate) fn set_limit(&mut self, node: usize, limit: u64) {
        self.nodes[node].limit = limit;
        self.serve();
    }

    pub(crate) fn end(&mut self, node: usize) {
        self.nodes[node].ended = true;
        self.serve();
    }
}
