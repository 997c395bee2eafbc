//! A thread for each job, some hundred in a minute, joined when it is done.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use corpus_programs::{Pace, Setup};
use fastrand::Rng;

fn run_job(mut random: Rng, rows: usize, takes: Duration) -> u64 {
    let mut parts: Vec<Vec<u64>> = Vec::new();
    for part in 0..10 {
        parts.push((0..rows).map(|_| random.u64(..100)).collect());
        thread::sleep(takes / 10);
        std::hint::black_box(part);
    }
    parts.iter().flatten().sum()
}

fn main() {
    let mut setup = Setup::healthy();
    let jobs_per_s = setup.log_uniform("jobs_per_s", 2.0, 30.0);
    let takes = setup.part_of_length("takes_s", 0.005, 0.05);
    let rows = setup.whole("rows", 100, 5000);
    setup.announce();
    let mut running: Vec<JoinHandle<u64>> = Vec::new();
    let mut pace = Pace::per_second(jobs_per_s);
    let mut sum = 0_u64;
    loop {
        pace.wait();
        let random = setup.random.fork();
        let job = thread::Builder::new().name("job".to_owned()).spawn(move || run_job(random, rows, takes));
        running.extend(job);
        let (done, still) = running.into_iter().partition::<Vec<_>, _>(JoinHandle::is_finished);
        running = still;
        for job in done {
            sum = sum.wrapping_add(job.join().expect("a job adds up numbers"));
        }
        std::hint::black_box(sum);
    }
}
