//! Content-defined chunks: cut where the bytes say so, so that an edit moves few cuts.

use fastcdc::v2020::FastCDC;
use plimsoll_bounds::processor::Cutter;

use crate::plan::CHUNK_BYTES_MAX;

/// The smallest chunk, except for the last of a body.
pub(crate) const CHUNK_BYTES_MIN: usize = 16 << 10;
/// What chunks of random bytes come to on average, about.
pub(crate) const CHUNK_BYTES_AVG: usize = 64 << 10;

/// FastCDC (2020) with chunks of 16 to 256 KiB. The cuts depend on the bytes alone, not on how they came.
pub(crate) struct ContentDefined;

impl Cutter for ContentDefined {
    fn window_bytes(&self) -> usize {
        CHUNK_BYTES_MAX.as_usize()
    }

    fn cut(&mut self, window: &[u8], at_end: bool) -> Option<usize> {
        let longest = self.window_bytes();
        // With less than the longest chunk in view the cut could still move.
        if window.is_empty() || (window.len() < longest && !at_end) {
            return None;
        }
        let view = &window[..window.len().min(longest)];
        let cutter = FastCDC::new(view, CHUNK_BYTES_MIN, CHUNK_BYTES_AVG, longest);
        let (_fingerprint, end) = cutter.cut(0, view.len());
        Some(end)
    }
}
