//! Workers write their answers into a string that they keep from answer to answer; the longest decides its room.

use std::fmt::Write;
use std::thread;

use corpus_programs::{Pace, Setup, beside};
use fastrand::Rng;

fn write_answer(out: &mut String, random: &mut Rng, rows: usize) {
    out.clear();
    out.push_str("<table>");
    for row in 0..rows {
        // Writing to a string does not fail.
        let _ = write!(out, "<tr><td>{row}</td><td>{}</td></tr>", random.u32(..));
    }
    out.push_str("</table>");
}

fn work(mut random: Rng, rows_max: usize, per_s: f64) {
    let (mut out, mut pace) = (String::new(), Pace::per_second(per_s));
    loop {
        pace.wait();
        // Long answers are rare, so the room may still grow late.
        let rows = (rows_max as f64 * random.f64().powi(3)) as usize;
        write_answer(&mut out, &mut random, rows);
        std::hint::black_box(out.len());
    }
}

fn main() {
    let mut setup = Setup::healthy();
    let workers = setup.whole("workers", 2, 8);
    let rows_max = setup.whole("rows_max", 50, 5000);
    let per_s = setup.log_uniform("answers_per_s", 2.0, 60.0);
    beside::document_traffic(&mut setup, 20.0, 200.0);
    setup.announce();
    let handles: Vec<_> = (0..workers)
        .map(|_| {
            let random = setup.random.fork();
            thread::spawn(move || work(random, rows_max, per_s))
        })
        .collect();
    for handle in handles {
        handle.join().expect("workers run for ever");
    }
}
