//! Leak 1, *forgotten entries*: sessions are opened and never closed, because closing was left to clients, and
//! clients go without a word. Everything is still reachable, so no tool that looks for lost pointers finds it.
//!
//! Mended by an expiry (a session that was not used for an hour is removed) and by a limit on their number, with an
//! answer to "full": refuse, or remove the one that was not used for longest.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::LEAK_BYTES;

/// What is kept of a client.
struct Session {
    basket: Vec<u8>,
}

/// The open sessions by their number. Entries are never removed: that is the leak.
#[derive(Default)]
pub(crate) struct Sessions {
    by_number: Mutex<HashMap<usize, Session>>,
}

impl Sessions {
    /// Opens a session; says how many bytes it holds.
    #[inline(never)]
    pub(crate) fn open_session(&self) -> usize {
        let session = Session { basket: vec![b'.'; LEAK_BYTES] }; // LEAK
        let bytes = session.basket.len();
        let mut sessions = self.by_number.lock().unwrap_or_else(PoisonError::into_inner);
        let number = sessions.len();
        sessions.insert(number, session);
        bytes
    }
}
