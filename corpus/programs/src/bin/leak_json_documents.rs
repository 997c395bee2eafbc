//! A service that parses documents all day, 100 MB/s of allocations and more, and keeps the last version of each
//! customer; customers are never deleted, and most are new.

use std::collections::BTreeMap;

use corpus_programs::{Pace, Setup, beside};
use serde_json::Value;

#[derive(Default)]
struct Customers {
    last: BTreeMap<u64, Value>,
}

impl Customers {
    fn update(&mut self, text: &str) -> Result<(), serde_json::Error> {
        let document: Value = serde_json::from_str(text)?; // leaks: Customers::update
        if let Some(id) = document["customer"].as_u64() {
            self.last.insert(id, document); // leaks: Customers::update
        }
        Ok(())
    }
}

fn customer(id: u64, tags: usize) -> String {
    let tags: Vec<String> = (0..tags).map(|tag| format!("\"tag-{tag}\"")).collect();
    format!("{{\"customer\":{id},\"tags\":[{}]}}", tags.join(","))
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.log_uniform("leak_bytes_per_s", 3000.0, 1e6);
    let tags = setup.whole("tags", 1, 30);
    let known = setup.uniform("known", 0.0, 0.6);
    beside::upload_traffic(&mut setup, 100.0, 130.0);
    setup.announce();
    let mut customers = Customers::default();
    let mut pace = Pace::per_second(rate / (tags as f64 * 40.0 + 700.0) / (1.0 - known));
    let mut next = 0;
    loop {
        pace.wait();
        let is_known = next > 0 && setup.random.f64() < known;
        let id = if is_known { setup.random.u64(..next) } else { next };
        next += u64::from(!is_known);
        if customers.update(&customer(id, tags)).is_err() {
            return;
        }
    }
}
