//! A program that leaks, and is told so by itself.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use plimsoll_heap::{Heap, Interval};
use plimsoll_verdict::judge::{Options, Outcome};
use plimsoll_watch::{Settings, start_with};

#[global_allocator]
static HEAP: Heap = Heap::system();

/// Nobody waits longer than this for a verdict that comes after some seconds.
const PATIENCE: Duration = Duration::from_secs(60);

static KEPT: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());
static STOP: AtomicBool = AtomicBool::new(false);

#[inline(never)]
fn forget_to_remove(nth: usize) {
    let entry = vec![nth as u8; 400].into_boxed_slice();
    KEPT.lock().expect("no thread panics").push(entry);
}

#[inline(never)]
fn handle(window: &mut VecDeque<Vec<u8>>, nth: usize) {
    window.push_back(vec![nth as u8; 300]);
    if window.len() > 100 {
        window.pop_front();
    }
}

/// Proves D1: the verdict runs in any program that starts it, names the line that leaks and not the one beside it that
/// holds as much as before, and reports what it costs.
#[test]
fn a_program_learns_which_of_its_lines_leaks() {
    let sampling = plimsoll_heap::Settings {
        interval: Interval::Every,
        epoch: Duration::from_millis(50),
        ..Default::default()
    };
    let told = Arc::new(AtomicUsize::new(0));
    let heard = told.clone();
    let settings = Settings {
        interval: Duration::from_millis(100),
        interval_min: Duration::from_millis(50),
        options: Options { warm_up: Duration::ZERO, ..Options::default() },
        on_change: Some(Box::new(move |_| {
            heard.fetch_add(1, Ordering::Relaxed);
        })),
        ..Settings::default()
    };
    let watched = start_with(sampling, settings).expect("the allocator is installed");
    let service = std::thread::spawn(|| {
        let mut window = VecDeque::new();
        let mut nth = 0;
        while !STOP.load(Ordering::Relaxed) {
            forget_to_remove(nth);
            handle(&mut window, nth);
            nth += 1;
            // The load of a service, and no busy loop.
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    let began = Instant::now();
    let verdict = loop {
        let now = watched.watcher.verdict();
        if let Some(verdict) = now.filter(|verdict| verdict.outcome == Outcome::Leak) {
            break verdict;
        }
        assert!(began.elapsed() < PATIENCE, "no verdict: {:#?}", watched.watcher.verdict());
        std::thread::sleep(Duration::from_millis(50));
    };
    STOP.store(true, Ordering::Relaxed);
    service.join().expect("the service ended");
    let blamed: Vec<&str> = verdict
        .sites
        .iter()
        .filter(|site| site.state.is_blamed())
        .map(|site| site.function.as_str())
        .collect();
    assert!(blamed[0].ends_with("::forget_to_remove"), "{blamed:?}");
    assert!(!blamed.iter().any(|function| function.ends_with("::handle")), "{blamed:?}");
    assert!(told.load(Ordering::Relaxed) > 0, "who wanted to be told was");
    let cost = watched.watcher.cost();
    assert!(cost.readings > 10 && cost.held_bytes > 0 && cost.held_bytes < 4 << 20, "{cost:?}");
}
