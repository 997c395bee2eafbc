//! Leak 4, *a cycle*: parent and child hold one another by `Arc`. When the last one from outside lets go, both counts
//! are still 1, and nothing can reach either.
//!
//! Mended by a `Weak` for the way back: the parent holds the child, and the child only knows the parent.

use std::sync::{Arc, Mutex, PoisonError};

use super::LEAK_BYTES;

/// One half of a pair.
struct Node {
    // Only the parent's is filled.
    content: Vec<u8>,
    other: Mutex<Option<Arc<Node>>>,
}

impl Node {
    fn hold(&self, other: Arc<Node>) {
        *self.other.lock().unwrap_or_else(PoisonError::into_inner) = Some(other);
    }
}

/// Makes two that hold one another, and lets go of both; says how many bytes they hold.
#[inline(never)]
pub(crate) fn link_pair() -> usize {
    let content = vec![b'.'; LEAK_BYTES]; // LEAK
    let parent = Arc::new(Node { content, other: Mutex::default() });
    let child = Arc::new(Node { content: Vec::new(), other: Mutex::default() });
    let bytes = parent.content.len() + child.content.len();
    parent.hold(child.clone());
    child.hold(parent);
    bytes
}
