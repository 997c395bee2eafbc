//! Requests as short tasks, which ask two others and wait for both.

use std::time::Duration;

use corpus_programs::{Pace, Setup};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

async fn backend(number: u64, bytes: usize, takes: Duration, reply: oneshot::Sender<Vec<u8>>) {
    tokio::time::sleep(takes).await;
    // The one who asked may have gone.
    let _ = reply.send(vec![number as u8; bytes]);
}

async fn request(number: u64, bytes: usize, takes: Duration) -> usize {
    let (first, second) = (oneshot::channel(), oneshot::channel());
    tokio::spawn(backend(number, bytes, takes, first.0));
    tokio::spawn(backend(number + 1, bytes / 2, takes / 2, second.0));
    let (first, second) = tokio::join!(first.1, second.1);
    first.map_or(0, |reply| reply.len()) + second.map_or(0, |reply| reply.len())
}

async fn serve(mut setup: Setup, per_s: f64, bytes: usize, takes: Duration) {
    let (mut pace, mut requests) = (Pace::per_second(per_s), JoinSet::new());
    let mut answered = 0;
    loop {
        pace.wait_async().await;
        let takes = takes.mul_f64(0.2 + setup.random.f64() * 1.6);
        requests.spawn(request(setup.random.u64(..1 << 60), bytes, takes));
        while let Some(done) = requests.try_join_next() {
            answered += done.unwrap_or_default();
        }
        std::hint::black_box(answered);
    }
}

fn main() {
    let mut setup = Setup::healthy();
    let per_s = setup.log_uniform("requests_per_s", 30.0, 1500.0);
    let bytes = setup.whole("reply_bytes", 100, 8000);
    let takes = setup.part_of_length("takes_s", 0.001, 0.05);
    setup.announce();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
    runtime.expect("two threads can be started").block_on(async move {
        tokio::spawn(serve(setup, per_s, bytes, takes)).await.expect("it runs for ever");
    });
}
