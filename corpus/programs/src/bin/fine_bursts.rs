//! At random moments a report is asked for: much memory for a short time, and then none of it.

use std::thread;
use std::time::Duration;

use corpus_programs::{Pace, Setup};
use fastrand::Rng;

struct Row {
    customer: String,
    amounts: Vec<i64>,
}

fn report(random: &mut Rng, rows: usize, takes: Duration) -> i64 {
    let mut pace = Pace::per_second(rows as f64 / takes.as_secs_f64());
    let mut table = Vec::new();
    for row in 0..rows {
        pace.wait();
        let amounts = (0..random.usize(1..40)).map(|_| random.i64(-1000..1000)).collect();
        table.push(Row { customer: format!("customer {row}"), amounts });
    }
    table.sort_by_key(|row| row.amounts.iter().sum::<i64>());
    table.iter().take(10).map(|row| row.amounts[0] + row.customer.len() as i64).sum()
}

fn main() {
    let mut setup = Setup::healthy();
    let mean_pause = setup.part_of_length("mean_pause_s", 0.03, 0.15);
    let takes = setup.part_of_length("takes_s", 0.01, 0.08);
    let rows = setup.whole("rows", 200, 20_000);
    setup.announce();
    loop {
        // As between calls of people who do not know one another.
        let pause = mean_pause.mul_f64((-setup.random.f64().max(1e-9).ln()).min(4.0));
        thread::sleep(pause);
        let rows = setup.random.usize(rows / 4..rows);
        std::hint::black_box(report(&mut setup.random, rows, takes));
    }
}
