//! Connections come until all clients are there, in the first part of the time, and stay; each reads and writes, and
//! now and then one is made anew.

use corpus_programs::{Pace, Setup, fill};
use fastrand::Rng;

struct Connection {
    input: Vec<u8>,
    output: String,
}

fn accept(buffer_bytes: usize) -> Connection {
    Connection { input: vec![0; buffer_bytes], output: String::with_capacity(256) }
}

impl Connection {
    fn answer(&mut self, random: &mut Rng) -> usize {
        fill(random, &mut self.input);
        let words: Vec<String> = self.input.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        self.output.clear();
        for word in &words {
            self.output += word;
        }
        self.output.len()
    }
}

fn main() {
    let mut setup = Setup::healthy();
    let clients = setup.whole("clients", 50, 2000);
    let buffer_bytes = setup.whole("buffer_bytes", 512, 16_384);
    let ramp = setup.part_of_length("ramp_s", 0.1, 0.45);
    let renewals = setup.uniform("renewals_of_each", 0.5, 5.0);
    setup.announce();
    let mut connections: Vec<Connection> = Vec::with_capacity(clients);
    let per_s = 200.0;
    let mut pace = Pace::per_second(per_s);
    loop {
        pace.wait();
        let wanted = (setup.progress() * setup.length_s() / ramp.as_secs_f64() * clients as f64) as usize;
        while connections.len() < wanted.clamp(1, clients) {
            connections.push(accept(buffer_bytes));
        }
        let one = setup.random.usize(..connections.len());
        std::hint::black_box(connections[one].answer(&mut setup.random));
        if setup.random.f64() < renewals * clients as f64 / setup.length_s() / per_s {
            connections[one] = accept(buffer_bytes);
        }
    }
}
