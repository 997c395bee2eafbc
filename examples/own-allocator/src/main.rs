//! A program that brings its allocator within it, as many Rust services do.
//!
//! `plimsoll record` puts itself in front of `malloc`; here hardly anybody calls that, since Rust's allocations go to
//! functions inside the program. The profile is then nearly empty, and `report` says which part of the resident
//! memory it does not explain. Such a program is better built with `plimsoll::Heap::wrap` around its allocator.

#![allow(clippy::print_stdout, reason = "what it found is its output")]

use std::collections::HashMap;
use std::thread;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let mut held = HashMap::new();
    for number in 0..100_000_u64 {
        held.insert(number, number.to_string());
        if number % 3 == 0 {
            held.remove(&(number / 2));
        }
    }
    let digits = |by: u64| (0..50_000_u64).map(|number| (number * by).to_string().len()).sum::<usize>();
    let threads: Vec<_> = (0..4).map(|by| thread::spawn(move || digits(by))).collect();
    let digits: Vec<usize> = threads.into_iter().filter_map(|thread| thread.join().ok()).collect();
    println!("{} {digits:?}", held.len());
}
