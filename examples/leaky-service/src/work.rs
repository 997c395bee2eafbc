//! Healthy work, so that the leaks are not alone in the profile: text that is parsed and dropped again, and a cache
//! that fills up, stays full, and looks like a leak to whoever looks only once.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

/// How many answers the cache holds; about half a KiB each, so 128 KiB when it is full.
const CACHE_ANSWERS_MAX: usize = 256;

/// What the work keeps between requests.
#[derive(Default)]
pub(crate) struct Work {
    /// The newest answers: at most [`CACHE_ANSWERS_MAX`], the oldest goes for a new one.
    answers: Mutex<VecDeque<String>>,
}

impl Work {
    /// Takes an order, prices it, and keeps the answer; says how many bytes the answer has.
    #[inline(never)]
    pub(crate) fn order(&self) -> usize {
        let order = json!({
            "customer": "Ada",
            "lines": (1..=16).map(|line| json!({ "item": format!("item {line}"), "count": line })).collect::<Vec<_>>(),
        })
        .to_string();
        let order: Value = serde_json::from_str(&order).unwrap_or_default();
        let lines = order["lines"].as_array().map(Vec::as_slice).unwrap_or_default();
        let total: u64 = lines.iter().filter_map(|line| line["count"].as_u64()).sum();
        let answer = json!({ "order": order, "total": total }).to_string();
        let bytes = answer.len();
        self.keep(answer);
        bytes
    }

    fn keep(&self, answer: String) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() == CACHE_ANSWERS_MAX {
            answers.pop_front();
        }
        answers.push_back(answer);
    }
}
