//! An asynchronous service. What its handler keeps for a later step is taken out only if that step comes.

use std::collections::HashMap;
use std::sync::Arc;

use corpus_programs::{Pace, Setup, beside};
use tokio::sync::Mutex;

struct Draft {
    parts: Vec<Vec<u8>>,
}

#[derive(Clone, Default)]
struct Uploads {
    drafts: Arc<Mutex<HashMap<u64, Draft>>>,
}

impl Uploads {
    async fn begin_upload(&self, id: u64, part_bytes: usize) {
        let mut parts = Vec::with_capacity(4); // leaks: Uploads::begin_upload
        for part in 0..2_u8 {
            tokio::task::yield_now().await;
            parts.push(vec![part; part_bytes]); // leaks: Uploads::begin_upload
        }
        let mut drafts = self.drafts.lock().await;
        drafts.insert(id, Draft { parts }); // leaks: Uploads::begin_upload
    }

    async fn finish_upload(&self, id: u64) -> usize {
        let draft = self.drafts.lock().await.remove(&id);
        draft.map_or(0, |draft| draft.parts.iter().map(Vec::len).sum())
    }
}

async fn client(uploads: Uploads, id: u64, part_bytes: usize, finishes: bool) -> usize {
    uploads.begin_upload(id, part_bytes).await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    if finishes { uploads.finish_upload(id).await } else { 0 }
}

async fn clients(mut setup: Setup, rate: f64, part_bytes: usize, aborted: f64) {
    let uploads = Uploads::default();
    let mut pace = Pace::per_second((rate / (part_bytes * 2 + 180) as f64 / aborted).clamp(1.0, 5000.0));
    loop {
        pace.wait_async().await;
        let (id, finishes) = (setup.random.u64(..), setup.random.f64() >= aborted);
        tokio::spawn(client(uploads.clone(), id, part_bytes, finishes));
    }
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.leak_bytes_per_s();
    let part_bytes = setup.object_bytes(rate);
    let aborted = setup.uniform("aborted", 0.1, 0.9);
    beside::upload_traffic(&mut setup, 20.0, 80.0);
    setup.announce();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
    runtime.expect("two threads can be started").block_on(async move {
        tokio::spawn(clients(setup, rate, part_bytes, aborted)).await.expect("it runs for ever");
    });
}
