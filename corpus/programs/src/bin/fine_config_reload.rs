//! A configuration that is read again now and then, one time into a larger one; whoever still uses the old one keeps
//! it a moment longer.

use std::sync::Arc;
use std::time::Instant;

use corpus_programs::{Pace, Setup};
use serde_json::Value;

struct Config {
    rules: Vec<Value>,
}

fn load(rules: usize, version: usize) -> Option<Config> {
    let rules: Vec<String> = (0..rules)
        .map(|rule| format!("{{\"rule\":{rule},\"version\":{version},\"allow\":[\"a{rule}\",\"b\"]}}"))
        .collect();
    match serde_json::from_str(&format!("[{}]", rules.join(","))).ok()? {
        Value::Array(rules) => Some(Config { rules }),
        _ => None,
    }
}

fn decide(config: &Config, number: usize) -> Option<&str> {
    config.rules.get(number % config.rules.len())?["allow"][0].as_str()
}

fn main() {
    let mut setup = Setup::healthy();
    let every = setup.part_of_length("reload_every_s", 0.08, 0.35);
    let rules = setup.whole("rules", 50, 2000);
    let larger = setup.uniform("later_larger_by", 1.0, 1.8);
    let late = setup.uniform("larger_at_part_of_length", 0.4, 0.6);
    setup.announce();
    let Some(first) = load(rules, 0) else { return };
    let (mut config, mut loaded, mut version) = (Arc::new(first), Instant::now(), 0);
    let mut pace = Pace::per_second(300.0);
    let mut in_use = std::collections::VecDeque::new();
    loop {
        pace.wait();
        if loaded.elapsed() >= every {
            (loaded, version) = (Instant::now(), version + 1);
            let factor = if setup.progress() > late { larger } else { 1.0 };
            if let Some(new) = load((rules as f64 * factor) as usize, version) {
                config = Arc::new(new);
            }
        }
        in_use.push_back(Arc::clone(&config));
        if in_use.len() > 20 {
            in_use.pop_front();
        }
        std::hint::black_box(decide(&in_use[0], setup.random.usize(..)));
    }
}
