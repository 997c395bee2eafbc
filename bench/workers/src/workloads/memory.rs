//! What an allocator must not spoil: growth in place, zeroed pages that are never touched, zeroed blocks of
//! medium size. Measured in page faults and resident memory, not in time.

use std::hint::black_box;

use super::Workload;

/// The size to which a vector grows.
const GROWN_BYTES: usize = 64 << 20;
/// How many vectors grow in turn.
const GROWING: usize = 4;
/// The size of the buffer that is zeroed and not touched.
const ZEROED_BYTES: usize = 256 << 20;
/// How many buffers of medium size there are.
const MEDIUM: usize = 4000;

/// Vectors that are pushed to, in turn, so that they are in one another's way.
pub(super) struct Grow;

impl Workload for Grow {
    fn run(&mut self, iterations: u64) -> u64 {
        const PIECE: [u8; 4096] = [7; 4096];
        let mut sum = 0_u64;
        for _ in 0..iterations {
            let mut vectors: Vec<Vec<u8>> = vec![Vec::new(); GROWING];
            for _ in 0..GROWN_BYTES / PIECE.len() {
                vectors.iter_mut().for_each(|vector| vector.extend_from_slice(black_box(&PIECE)));
            }
            sum += vectors.iter().map(|vector| vector.len() as u64).sum::<u64>();
        }
        sum
    }
}

/// A large zeroed buffer of which one byte is read.
pub(super) struct Zeroed;

impl Workload for Zeroed {
    fn run(&mut self, iterations: u64) -> u64 {
        (0..iterations).map(|_| u64::from(black_box(&vec![0_u8; ZEROED_BYTES])[ZEROED_BYTES / 2])).sum()
    }
}

/// Zeroed buffers of 4 to 200 KiB that live together, of which each tenth is written to.
pub(super) struct Medium;

impl Workload for Medium {
    fn run(&mut self, iterations: u64) -> u64 {
        let mut sum = 0_u64;
        for _ in 0..iterations {
            let mut buffers: Vec<Vec<u8>> =
                (0..MEDIUM).map(|number| vec![0_u8; (4 + number % 197) << 10]).collect();
            buffers.iter_mut().step_by(10).for_each(|buffer| buffer.fill(1));
            sum += black_box(&buffers).iter().map(|buffer| u64::from(buffer[buffer.len() / 2])).sum::<u64>();
        }
        sum
    }
}
