//! A series for each user in a metrics crate that keeps every series it was ever told of: the label was to be the
//! route. Series have to be removed by hand, see issue 494 of tikv/rust-prometheus.

use corpus_programs::{Pace, Setup, beside};

use prometheus::{IntCounterVec, Opts, Registry};

struct Metrics {
    requests: IntCounterVec,
}

impl Metrics {
    fn register(registry: &Registry) -> prometheus::Result<Metrics> {
        let requests = IntCounterVec::new(Opts::new("requests", "Requests by user."), &["user", "status"])?;
        registry.register(Box::new(requests.clone()))?;
        Ok(Metrics { requests })
    }

    fn count_request(&self, user: &str, status: u16) {
        let status = if status < 400 { "good" } else { "bad" };
        self.requests.with_label_values(&[user, status]).inc(); // leaks: Metrics::count_request
    }
}

fn serve(metrics: &Metrics, mut setup: Setup, rate: f64) {
    // What a series takes: the labels with their names, the description's clone, the cell, and its place in the map.
    let mut pace = Pace::per_second(rate / 700.0);
    loop {
        pace.wait();
        let user = format!("user-{:016x}", setup.random.u64(..));
        metrics.count_request(&user, setup.random.u16(200..500));
    }
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.log_uniform("leak_bytes_per_s", 2000.0, 1e6);
    beside::document_traffic(&mut setup, 50.0, 400.0);
    setup.announce();
    let registry = Registry::new();
    match Metrics::register(&registry) {
        Ok(metrics) => serve(&metrics, setup, rate),
        Err(error) => eprintln!("the metrics could not be registered: {error}"),
    }
}
