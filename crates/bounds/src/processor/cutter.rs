//! Where a chunk ends: the trait, and the two cutters that need to know nothing about the content.

/// Decides where the next chunk ends in a window of bytes. Pure: no clock, no I/O.
///
/// Each window that it is shown begins where the last chunk ended and holds at most
/// [`Cutter::window_bytes`]. It is shown a window when that is full, when the input has ended, and when more
/// bytes have come and no further are there at the moment.
pub trait Cutter {
    /// The most that it ever needs to see to decide, in bytes; a chunk is never longer. Asked once. Memory:
    /// a stream keeps a pool buffer of twice this.
    fn window_bytes(&self) -> usize;

    /// How long the next chunk is, from the front of `window`. `None` asks for more bytes.
    ///
    /// It must answer, with at least 1, when the window is full and when it is `at_end`. A window that is
    /// not full may be answered early, but only with what it would answer for every window that begins with
    /// these bytes: otherwise the chunks would depend on how the bytes arrived. `at_end` is only ever said
    /// of a window that is not full, for the same reason.
    fn cut(&mut self, window: &[u8], at_end: bool) -> Option<usize>;

    /// How long a chunk can be cut now, because the bytes have waited for the stream's `flush_after`.
    /// `None`, the default, lets them wait on; it is asked again only when more have come.
    fn flush(&mut self, window: &[u8]) -> Option<usize> {
        let _ = window;
        None
    }
}

impl<C: Cutter + ?Sized> Cutter for Box<C> {
    fn window_bytes(&self) -> usize {
        (**self).window_bytes()
    }

    fn cut(&mut self, window: &[u8], at_end: bool) -> Option<usize> {
        (**self).cut(window, at_end)
    }

    fn flush(&mut self, window: &[u8]) -> Option<usize> {
        (**self).flush(window)
    }
}

/// Chunks of one size; the last may be shorter.
///
/// Not for live input that is to be seen as it comes: nothing is cut before `size_bytes` are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// Bytes in a chunk. Zero is refused by the stream as a cutter that cannot cut.
    pub size_bytes: usize,
}

impl Cutter for Fixed {
    fn window_bytes(&self) -> usize {
        self.size_bytes
    }

    fn cut(&mut self, window: &[u8], at_end: bool) -> Option<usize> {
        let full = window.len() >= self.size_bytes;
        (full || at_end).then(|| window.len().min(self.size_bytes))
    }
}

/// Chunks of whole lines, as many as `bytes_max` holds. A line that is longer is cut at `bytes_max`. At the
/// end of the input, what follows the last newline is a chunk of its own.
///
/// Flushed, it cuts after the last whole line that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lines {
    /// The most bytes in a chunk. Zero is refused by the stream as a cutter that cannot cut.
    pub bytes_max: usize,
}

impl Cutter for Lines {
    fn window_bytes(&self) -> usize {
        self.bytes_max
    }

    fn cut(&mut self, window: &[u8], at_end: bool) -> Option<usize> {
        let whole = &window[..window.len().min(self.bytes_max)];
        let full = whole.len() == self.bytes_max;
        (full || at_end).then(|| after_last_newline(whole).unwrap_or(whole.len()))
    }

    fn flush(&mut self, window: &[u8]) -> Option<usize> {
        after_last_newline(&window[..window.len().min(self.bytes_max)])
    }
}

fn after_last_newline(bytes: &[u8]) -> Option<usize> {
    bytes.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_waits_for_its_size_or_the_end() {
        let mut fixed = Fixed { size_bytes: 4 };
        assert_eq!(fixed.cut(b"abc", false), None);
        assert_eq!(fixed.cut(b"abcd", false), Some(4));
        assert_eq!(fixed.cut(b"abc", true), Some(3));
        assert_eq!(fixed.flush(b"abc"), None);
    }

    #[test]
    fn lines_cuts_after_the_last_newline_that_fits() {
        let mut lines = Lines { bytes_max: 8 };
        assert_eq!(lines.cut(b"a\nb\n", false), None);
        assert_eq!(lines.cut(b"a\nb\ncccc", false), Some(4));
        assert_eq!(lines.cut(b"aaaaaaa\n", false), Some(8));
        assert_eq!(lines.cut(b"aaaaaaaa", false), Some(8));
        assert_eq!(lines.cut(b"a\nb", true), Some(2));
        assert_eq!(lines.cut(b"b", true), Some(1));
    }

    #[test]
    fn lines_flushes_whole_lines_only() {
        let mut lines = Lines { bytes_max: 8 };
        assert_eq!(lines.flush(b"abc"), None);
        assert_eq!(lines.flush(b"a\nb\nc"), Some(4));
    }
}
