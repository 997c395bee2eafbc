//! A table of sessions: whoever logs out is removed, whoever just goes away stays for ever.

use std::collections::HashMap;

use corpus_programs::{Pace, Setup};

struct Session {
    user: String,
    scopes: Vec<&'static str>,
    token: Box<[u8]>,
}

#[derive(Default)]
struct SessionTable {
    next: u64,
    open: HashMap<u64, Session>,
}

impl SessionTable {
    fn log_in(&mut self, user: u32, token_bytes: usize) -> u64 {
        self.next += 1;
        let user = format!("user-{user:08}@example.test"); // leaks: SessionTable::log_in
        let scopes = vec!["read", "write", "list"]; // leaks: SessionTable::log_in
        let token = vec![user.len() as u8; token_bytes].into_boxed_slice(); // leaks: SessionTable::log_in
        self.open.insert(self.next, Session { user, scopes, token }); // leaks: SessionTable::log_in
        self.next
    }

    fn log_out(&mut self, id: u64) -> Option<usize> {
        self.open.remove(&id).map(|session| session.user.len() + session.scopes.len() + session.token.len())
    }
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.leak_bytes_per_s();
    let token_bytes = setup.object_bytes(rate);
    let forgotten = setup.uniform("forgotten", 0.05, 0.6);
    let open_for = setup.whole("open_for_logins", 20, 300);
    setup.announce();
    let (mut table, mut recent) = (SessionTable::default(), std::collections::VecDeque::new());
    let session_bytes = (token_bytes + 25 + 48 + 80) as f64;
    let mut pace = Pace::per_second((rate / session_bytes / forgotten).max(1.0));
    loop {
        pace.wait();
        let id = table.log_in(setup.random.u32(..), token_bytes);
        if setup.random.f64() >= forgotten {
            recent.push_back(id);
        }
        if recent.len() > open_for
            && let Some(id) = recent.pop_front()
        {
            table.log_out(id);
        }
    }
}
