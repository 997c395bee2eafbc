//! A connection knows its session and the session its connection: both are dropped, and neither is freed.

use std::sync::{Arc, Mutex, PoisonError};

use corpus_programs::{Pace, Setup, fill};

struct Connection {
    peer: u64,
    session: Mutex<Option<Arc<Session>>>,
    buffer: Mutex<Vec<u8>>,
}

struct Session {
    connection: Arc<Connection>,
    opened: u64,
}

fn accept(peer: u64, buffer_bytes: usize) -> Arc<Connection> {
    let buffer = Mutex::new(vec![0; buffer_bytes]); // leaks: accept
    Arc::new(Connection { peer, session: Mutex::new(None), buffer }) // leaks: accept
}

fn establish(connection: &Arc<Connection>) -> Arc<Session> {
    let session = Arc::new(Session { connection: Arc::clone(connection), opened: connection.peer }); // leaks: establish
    *connection.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&session));
    session
}

/// The way it was meant: a session is taken off its connection when it ends well.
fn close(session: &Session) {
    session.connection.session.lock().unwrap_or_else(PoisonError::into_inner).take();
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.leak_bytes_per_s();
    let buffer_bytes = setup.object_bytes(rate);
    let torn = setup.uniform("torn", 0.1, 1.0);
    setup.announce();
    let mut pace = Pace::per_second((rate / (buffer_bytes + 136) as f64 / torn).max(1.0));
    loop {
        pace.wait();
        let connection = accept(setup.random.u64(..), buffer_bytes);
        let session = establish(&connection);
        fill(&mut setup.random, &mut connection.buffer.lock().unwrap_or_else(PoisonError::into_inner));
        std::hint::black_box(session.opened);
        if setup.random.f64() >= torn {
            close(&session);
        }
    }
}
