//! What goes on beside a leak in a real service: requests that come and go, and caches that are full or fill up.
//! Each runs in a thread of its own and is healthy.

use std::collections::{HashMap, VecDeque};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;

use crate::{Pace, Setup, fill, payload};

/// Requests whose bodies are read, looked at and dropped, so many megabytes each second.
pub fn upload_traffic(setup: &mut Setup, low_mb_per_s: f64, high_mb_per_s: f64) {
    let bytes_per_s = setup.uniform("churn_mb_per_s", low_mb_per_s, high_mb_per_s) * 1e6;
    let largest = setup.whole("churn_body_bytes_max", 4096, 131_072);
    let mut random = setup.random.fork();
    thread::spawn(move || {
        let mut pace = Pace::per_second(bytes_per_s / (largest as f64 / 2.0));
        // A few are under way at any time.
        let mut under_way: VecDeque<Vec<u8>> = VecDeque::with_capacity(32);
        loop {
            pace.wait();
            let bytes = random.usize(64..largest);
            under_way.push_back(receive_body(&mut random, bytes));
            if under_way.len() > 24 {
                under_way.pop_front();
            }
        }
    });
}

fn receive_body(random: &mut Rng, bytes: usize) -> Vec<u8> {
    let mut body = vec![0; bytes];
    fill(random, &mut body);
    body
}

/// Documents that are parsed, changed, written and dropped: many small objects, so many a second.
pub fn document_traffic(setup: &mut Setup, low_per_s: f64, high_per_s: f64) {
    let per_s = setup.uniform("churn_documents_per_s", low_per_s, high_per_s);
    let mut random = setup.random.fork();
    thread::spawn(move || {
        let mut pace = Pace::per_second(per_s);
        loop {
            pace.wait();
            let reply = answer_document(&order(&mut random));
            std::hint::black_box(reply);
        }
    });
}

fn order(random: &mut Rng) -> String {
    let mut text = format!("{{\"order\":{},\"lines\":[", random.u32(..));
    for line in 0..random.usize(5..40) {
        let comma = if line == 0 { "" } else { "," };
        text += &format!("{comma}{{\"article\":\"a{}\",\"count\":{}}}", random.u16(..), random.u8(1..));
    }
    text + "]}"
}

fn answer_document(text: &str) -> Option<String> {
    let mut order: Value = serde_json::from_str(text).ok()?;
    let count: u64 = order["lines"].as_array()?.iter().filter_map(|line| line["count"].as_u64()).sum();
    order["total"] = count.into();
    serde_json::to_string(&order).ok()
}

/// A cache of pages which is full after that part of the observation, and then replaces its oldest.
pub fn page_cache(setup: &mut Setup, low_full: f64, high_full: f64) {
    let pages = setup.whole("cache_pages", 500, 5000);
    let page_bytes = setup.whole("cache_page_bytes", 512, 8192);
    let full_after = setup.part_of_length("cache_full_after_s", low_full, high_full);
    let mut random = setup.random.fork();
    thread::spawn(move || PageCache::new(pages, page_bytes).serve(full_after, &mut random));
}

struct PageCache {
    capacity: usize,
    page_bytes: usize,
    pages: HashMap<u64, Vec<u8>>,
    /// The oldest first.
    order: VecDeque<u64>,
}

impl PageCache {
    fn new(capacity: usize, page_bytes: usize) -> PageCache {
        PageCache {
            capacity,
            page_bytes,
            pages: HashMap::with_capacity(capacity + 1),
            order: VecDeque::with_capacity(capacity + 1),
        }
    }

    fn serve(&mut self, full_after: Duration, random: &mut Rng) {
        let mut pace = Pace::per_second(self.capacity as f64 / full_after.as_secs_f64());
        for page in 0.. {
            pace.wait();
            self.load(page, random);
        }
    }

    fn load(&mut self, page: u64, random: &mut Rng) {
        if self.pages.len() >= self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.pages.remove(&oldest);
        }
        self.pages.insert(page, payload(random, self.page_bytes));
        self.order.push_back(page);
    }
}
