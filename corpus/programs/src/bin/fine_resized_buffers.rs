//! Buffers of channels that are made larger and smaller as the traffic goes: `resize` and `shrink_to`.

use corpus_programs::{Pace, Setup, fill};

struct Channel {
    buffer: Vec<u8>,
}

impl Channel {
    fn fit(&mut self, bytes: usize) {
        if bytes > self.buffer.len() {
            self.buffer.resize(bytes, 0);
        } else {
            self.buffer.truncate(bytes);
            self.buffer.shrink_to(bytes);
        }
    }
}

fn main() {
    let mut setup = Setup::healthy();
    let channels = setup.whole("channels", 10, 500);
    let largest = setup.whole("bytes_max", 1000, 60_000);
    let each = setup.uniform("resizes_of_each", 5.0, 200.0);
    setup.announce();
    let mut all: Vec<Channel> = (0..channels).map(|_| Channel { buffer: Vec::new() }).collect();
    let mut pace = Pace::per_second(channels as f64 * each / setup.length_s());
    loop {
        pace.wait();
        let channel = &mut all[setup.random.usize(..channels)];
        channel.fit(setup.random.usize(64..largest));
        let touched = channel.buffer.len().min(256);
        fill(&mut setup.random, &mut channel.buffer[..touched]);
    }
}
