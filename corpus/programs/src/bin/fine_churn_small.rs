//! Words are counted in texts that come and go: many small strings and one small map each.

use std::collections::HashMap;

use corpus_programs::{Pace, Setup};

fn count_words(text: &str) -> Vec<(String, usize)> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for word in text.split(' ') {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    let mut sorted: Vec<_> = counts.into_iter().collect();
    sorted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    sorted.truncate(10);
    sorted
}

fn main() {
    let mut setup = Setup::healthy();
    let texts_per_s = setup.log_uniform("texts_per_s", 30.0, 800.0);
    let words = setup.whole("words", 20, 200);
    setup.announce();
    let mut pace = Pace::per_second(texts_per_s);
    loop {
        pace.wait();
        let text: Vec<String> = (0..words).map(|_| format!("W{}", setup.random.u8(..60))).collect();
        std::hint::black_box(count_words(&text.join(" ")));
    }
}
