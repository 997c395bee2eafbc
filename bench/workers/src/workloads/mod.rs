//! What is done: from nothing but allocating to what services do all day.

mod json;
mod maps;
mod memory;
mod ring;
mod service;
mod tight;

/// Work that can be done any number of times.
pub trait Workload {
    /// Does it `iterations` times and returns a number that depends on all of it.
    fn run(&mut self, iterations: u64) -> u64;

    /// How many operations that is: what costs are divided by.
    fn operations(&self, iterations: u64) -> u64 {
        iterations
    }
}

/// The workload of that name, prepared.
pub fn named(name: &str) -> Result<Box<dyn Workload>, String> {
    Ok(match name {
        "tight1" => Box::new(tight::Tight::new(1)),
        "tight2" => Box::new(tight::Tight::new(2)),
        "ring" => Box::new(ring::Ring::new()),
        "json" => Box::new(json::Json::new()),
        "maps" => Box::new(maps::Maps::new()),
        "service" => Box::new(service::Service::new()),
        "grow" => Box::new(memory::Grow),
        "zeroed" => Box::new(memory::Zeroed),
        "calloc" => Box::new(memory::Medium),
        _ => return Err(format!("there is no workload `{name}`")),
    })
}
