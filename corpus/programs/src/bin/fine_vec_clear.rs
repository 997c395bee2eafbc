//! Events of a frame are collected in a vector that is cleared and keeps its room; what is in it has room of its own,
//! and that goes.

use corpus_programs::{Pace, Setup};

struct Event {
    kind: &'static str,
    detail: String,
}

struct Frame {
    events: Vec<Event>,
    by_kind: [usize; 2],
}

impl Frame {
    fn collect(&mut self, random: &mut fastrand::Rng, events: usize) {
        for number in 0..events {
            let kind = if random.bool() { "key" } else { "mouse" };
            self.events.push(Event { kind, detail: format!("{kind} {number} at {}", random.u32(..)) });
        }
    }

    fn play(&mut self) {
        for event in &self.events {
            self.by_kind[event.kind.len() % 2] += event.detail.len();
        }
        self.events.clear();
    }
}

fn main() {
    let mut setup = Setup::healthy();
    let frames_per_s = setup.uniform("frames_per_s", 2.0, 60.0);
    let most = setup.whole("events_max", 20, 1500);
    setup.announce();
    let mut frame = Frame { events: Vec::new(), by_kind: [0; 2] };
    let mut pace = Pace::per_second(frames_per_s);
    loop {
        pace.wait();
        // Grows for a while and shrinks again.
        let swell = 0.1 + 0.9 * (setup.progress() * 20.0).sin().abs();
        let events = setup.random.usize(..(most as f64 * swell) as usize + 1);
        frame.collect(&mut setup.random, events);
        frame.play();
        std::hint::black_box(frame.by_kind);
    }
}
