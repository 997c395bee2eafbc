//! A cache of rendered pages without a limit, because there are few pages. Its key holds the time, so that there are
//! as many as requests.

use std::collections::HashMap;
use std::time::Instant;

use corpus_programs::{Pace, Setup, beside};

#[derive(PartialEq, Eq, Hash)]
struct Key {
    page: u32,
    language: &'static str,
    /// Came with a change that wanted to show the age of a page.
    requested_us: u128,
}

struct Renderer {
    begun: Instant,
    cache: HashMap<Key, String>,
    rendered: u64,
}

impl Renderer {
    fn page(&mut self, page: u32, language: &'static str, bytes: usize) -> &str {
        let key = Key { page, language, requested_us: self.begun.elapsed().as_micros() };
        let rendered = &mut self.rendered;
        let place = self.cache.entry(key); // leaks: Renderer::page
        place.or_insert_with(|| {
            *rendered += 1;
            render(page, language, bytes)
        })
    }
}

fn render(page: u32, language: &str, bytes: usize) -> String {
    let mut html = String::with_capacity(bytes + 64); // leaks: render
    html += language;
    while html.len() < bytes {
        html.push(char::from(b'a' + (page % 26) as u8));
    }
    html
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.leak_bytes_per_s();
    let bytes = setup.object_bytes(rate);
    beside::document_traffic(&mut setup, 100.0, 600.0);
    setup.announce();
    let mut renderer = Renderer { begun: Instant::now(), cache: HashMap::new(), rendered: 0 };
    let mut pace = Pace::per_second(rate / (bytes + 64 + 100) as f64);
    loop {
        pace.wait();
        let language = ["de", "en", "fr"][setup.random.usize(..3)];
        let length = renderer.page(setup.random.u32(..40), language, bytes).len();
        std::hint::black_box(length);
    }
}
