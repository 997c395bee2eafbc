//! Logins that are valid for up to two fifths of the time, ended by a sweep through the whole map now and then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use corpus_programs::{Pace, Setup};

struct Login {
    since: Instant,
    claims: Vec<String>,
}

type Logins = Arc<Mutex<HashMap<u64, Login>>>;

fn log_in(logins: &Logins, id: u64, claims: usize) {
    let claims = (0..claims).map(|claim| format!("claim-{claim}={id:x}")).collect();
    let mut logins = logins.lock().unwrap_or_else(PoisonError::into_inner);
    logins.insert(id, Login { since: Instant::now(), claims });
}

fn expire(logins: &Logins, ttl: Duration) {
    loop {
        thread::sleep(ttl / 20);
        let mut logins = logins.lock().unwrap_or_else(PoisonError::into_inner);
        logins.retain(|_, login| login.since.elapsed() < ttl && !login.claims.is_empty());
    }
}

fn main() {
    let mut setup = Setup::healthy();
    let ttl = setup.part_of_length("ttl_s", 0.2, 0.4);
    let per_s = setup.log_uniform("logins_per_s", 10.0, 400.0);
    let claims = setup.whole("claims", 1, 20);
    setup.announce();
    let logins = Logins::default();
    let swept = Arc::clone(&logins);
    thread::spawn(move || expire(&swept, ttl));
    let mut pace = Pace::per_second(per_s);
    loop {
        pace.wait();
        log_in(&logins, setup.random.u64(..), claims);
    }
}
