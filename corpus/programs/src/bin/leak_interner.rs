//! An interner for words, used for request numbers: each is another one.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use corpus_programs::{Pace, Setup, beside};

static NAMES: LazyLock<Mutex<Interner<str>>> = LazyLock::new(|| Mutex::new(Interner::new()));

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Symbol(u32);

struct Interner<T: ?Sized> {
    symbols: HashMap<Arc<T>, Symbol>,
    values: Vec<Arc<T>>,
}

impl<T: ?Sized + Hash + Eq> Interner<T> {
    fn new() -> Self {
        Self { symbols: HashMap::new(), values: Vec::new() }
    }

    fn intern<'a>(&mut self, value: &'a T) -> Symbol
    where
        Arc<T>: From<&'a T>,
    {
        if let Some(symbol) = self.symbols.get(value) {
            return *symbol;
        }
        let symbol = Symbol(self.values.len() as u32);
        let value: Arc<T> = Arc::from(value); // leaks: Interner::intern
        self.values.push(Arc::clone(&value)); // leaks: Interner::intern
        self.symbols.insert(value, symbol); // leaks: Interner::intern
        symbol
    }
}

fn intern(name: &str) -> Symbol {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner).intern(name)
}

fn trace_request(route: &str, number: u64, padding: usize) -> (Symbol, Symbol) {
    let request = format!("{route}/{number:x}/{}", "0".repeat(padding));
    (intern(route), intern(&request))
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.leak_bytes_per_s();
    let padding = setup.object_bytes(rate);
    beside::document_traffic(&mut setup, 50.0, 500.0);
    beside::page_cache(&mut setup, 0.05, 0.4);
    setup.announce();
    let mut pace = Pace::per_second(rate / (padding + 95) as f64);
    loop {
        pace.wait();
        let route = ["orders", "users", "login"][setup.random.usize(..3)];
        std::hint::black_box(trace_request(route, setup.random.u64(..), padding));
    }
}
