//! Connections come and go; their buffers are handed back to a list that is meant to be a pool, and new connections
//! never look into it.

use std::collections::BTreeMap;

use corpus_programs::{Pace, Setup, fill};
use fastrand::Rng;

struct Connection {
    input: Vec<u8>,
    lines: u32,
}

#[derive(Default)]
struct Server {
    next: u64,
    connections: BTreeMap<u64, Connection>,
    spare: Vec<Vec<u8>>,
}

impl Server {
    fn connect(&mut self, buffer_bytes: usize) -> u64 {
        self.next += 1;
        let input = vec![0; buffer_bytes]; // leaks: Server::connect
        self.connections.insert(self.next, Connection { input, lines: 0 });
        self.next
    }

    fn read(&mut self, id: u64, random: &mut Rng) {
        if let Some(connection) = self.connections.get_mut(&id) {
            fill(random, &mut connection.input);
            connection.lines += 1;
        }
    }

    fn disconnect(&mut self, id: u64) {
        if let Some(connection) = self.connections.remove(&id) {
            std::hint::black_box(connection.lines);
            self.spare.push(connection.input); // leaks: Server::disconnect
        }
    }
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.leak_bytes_per_s();
    let buffer_bytes = setup.object_bytes(rate);
    let connected = setup.whole("connected", 4, 60);
    setup.announce();
    let mut server = Server::default();
    let mut open = std::collections::VecDeque::new();
    let mut pace = Pace::per_second(rate / (buffer_bytes + 40) as f64);
    loop {
        pace.wait();
        open.push_back(server.connect(buffer_bytes));
        server.read(open[setup.random.usize(..open.len())], &mut setup.random);
        if open.len() > connected
            && let Some(id) = open.pop_front()
        {
            server.disconnect(id);
        }
    }
}
