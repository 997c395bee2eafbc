//! A handful of tables are built when they are first needed, one after the other until four fifths of the time, and
//! kept. Each is built once.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use corpus_programs::{Pace, Setup, beside};

static ROWS: AtomicUsize = AtomicUsize::new(0);

fn rows(part: usize) -> impl Iterator<Item = usize> {
    0..ROWS.load(Ordering::Relaxed) / part
}

static SQUARES: LazyLock<Vec<u64>> = LazyLock::new(|| rows(1).map(|row| (row * row) as u64).collect());
static NAMES: LazyLock<HashMap<usize, String>> =
    LazyLock::new(|| rows(4).map(|row| (row, format!("name {row}"))).collect());
static PATTERNS: LazyLock<Vec<String>> = LazyLock::new(|| rows(8).map(|row| "*?".repeat(row % 30)).collect());

fn look_up(table: usize, row: usize) -> u64 {
    match table {
        0 => SQUARES.get(row).copied().unwrap_or_default(),
        1 => NAMES.get(&row).map_or(0, |name| name.len() as u64),
        _ => PATTERNS.get(row).map_or(0, |pattern| pattern.len() as u64),
    }
}

fn main() {
    let mut setup = Setup::healthy();
    let rows = setup.whole("rows", 2000, 100_000);
    let needed = [
        setup.uniform("first_needed_at_part_of_length", 0.1, 0.3),
        setup.uniform("second_needed_at_part_of_length", 0.3, 0.6),
        setup.uniform("third_needed_at_part_of_length", 0.4, 0.8),
    ];
    beside::document_traffic(&mut setup, 50.0, 500.0);
    setup.announce();
    ROWS.store(rows, Ordering::Relaxed);
    let mut pace = Pace::per_second(200.0);
    loop {
        pace.wait();
        let progress = setup.progress();
        for table in (0..needed.len()).filter(|&table| needed[table] < progress) {
            std::hint::black_box(look_up(table, setup.random.usize(..rows)));
        }
    }
}
