//! All is well for the first quarter of the time; then a feature is switched on which remembers every visitor.

use std::collections::BTreeMap;

use corpus_programs::{Pace, Setup, beside};

struct Visit {
    path: String,
    referrer: Option<String>,
}

#[derive(Default)]
struct Analytics {
    visits: BTreeMap<u64, Visit>,
}

impl Analytics {
    fn remember_visit(&mut self, visitor: u64, path_bytes: usize) {
        let path = format!("/{:0>path_bytes$}", visitor % 10_000); // leaks: Analytics::remember_visit
        let referrer = visitor.is_multiple_of(3).then(|| "https://example.test/".to_owned()); // leaks: Analytics::remember_visit
        self.visits.insert(visitor, Visit { path, referrer }); // leaks: Analytics::remember_visit
    }
}

fn respond(random: &mut fastrand::Rng) -> String {
    let rows: Vec<String> = (0..random.usize(1..20)).map(|row| format!("<li>{row}</li>")).collect();
    rows.join("\n")
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.leak_bytes_per_s();
    let path_bytes = setup.object_bytes(rate);
    let begins = setup.uniform("begins_at_part_of_length", 0.2, 0.3);
    beside::page_cache(&mut setup, 0.05, 0.2);
    setup.announce();
    let mut analytics = Analytics::default();
    let mut pace = Pace::per_second(rate / (path_bytes + 100) as f64);
    let mut shown = 0;
    loop {
        pace.wait();
        shown += respond(&mut setup.random).len();
        if setup.progress() > begins {
            analytics.remember_visit(setup.random.u64(..), path_bytes);
        }
        std::hint::black_box((
            shown,
            analytics
                .visits
                .last_key_value()
                .map(|(_, visit)| visit.path.len() + visit.referrer.as_ref().map_or(0, String::len)),
        ));
    }
}
