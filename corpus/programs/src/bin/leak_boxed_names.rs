//! A metrics library wants `&'static str`, so somebody leaked each name to make one, at each request.

use std::collections::HashMap;

use corpus_programs::{Pace, Setup, beside};

#[derive(Default)]
struct Counters {
    counts: HashMap<&'static str, u64>,
}

impl Counters {
    fn count(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
    }
}

fn metric_name(route: &str, status: u16, padding: usize) -> &'static str {
    let name = format!("http_requests.{route}.{status}.{:=<padding$}", ""); // leaks: metric_name
    Box::leak(name.into_boxed_str()) // leaks: metric_name
}

const ROUTES: [&str; 6] = ["orders", "users", "login", "search", "basket", "health"];

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.leak_bytes_per_s();
    let padding = setup.object_bytes(rate);
    beside::upload_traffic(&mut setup, 20.0, 60.0);
    beside::page_cache(&mut setup, 0.05, 0.5);
    setup.announce();
    let mut counters = Counters::default();
    let mut pace = Pace::per_second(rate / (padding + 26) as f64);
    loop {
        pace.wait();
        let status = if setup.random.u8(..) == 0 { 500 } else { 200 };
        let route = ROUTES[setup.random.usize(..ROUTES.len())];
        // The names are few and equal: only the first of each is kept by the map, and all by nobody.
        counters.count(metric_name(route, status, padding));
    }
}
