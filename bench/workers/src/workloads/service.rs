//! What a service does all day, in turn: documents are parsed and written, entries come and go in maps.

use std::hint::black_box;

use super::Workload;
use super::json::Json;
use super::maps::Maps;

/// Changes of the maps for each document, in thousands: about as much work as the document.
const MAPS_PER_DOCUMENT: u64 = 20;
/// Blocks that stay in the heap itself: too small for mappings of their own.
const BLOCK_BYTES: usize = 64 << 10;
/// So many of them leave 16 MiB free, several times what a document's tree takes.
const ROOM_BLOCKS: usize = 256;

/// `json` and `maps` in one process.
pub(super) struct Service {
    json: Json,
    maps: Maps,
    /// Lies behind room for trees and entries, as something always does in a service. At the end of the heap, where
    /// glibc gives back to the kernel what is free, each tree would cost the plain program hundreds of page
    /// faults, and what is measured would be those.
    _kept: Vec<u8>,
}

impl Service {
    pub(super) fn new() -> Self {
        let (json, maps) = (Json::new(), Maps::new());
        let room: Vec<Vec<u8>> = (0..ROOM_BLOCKS).map(|_| vec![1; BLOCK_BYTES]).collect();
        let kept = vec![1; BLOCK_BYTES];
        drop(black_box(room));
        Self { json, maps, _kept: kept }
    }
}

impl Workload for Service {
    fn run(&mut self, iterations: u64) -> u64 {
        let mut sum = 0_u64;
        for _ in 0..iterations {
            sum = sum.wrapping_add(self.json.run(1));
            sum = sum.wrapping_add(self.maps.run(MAPS_PER_DOCUMENT));
        }
        sum
    }
}
