//! Why a stream ended early: whose fault it was, where in the input, and what to do.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::pool::{AcquireError, Revoked};

/// A cutter answered what no cutter may. A bug in the cutter; the input is not at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutterFault {
    /// Its window is zero bytes, in which nothing can be cut.
    NoWindow,
    /// It cut a chunk of nothing, or of more than there was.
    BadLength {
        /// Its answer, in bytes.
        answered: usize,
        /// What it was shown, in bytes.
        shown: usize,
    },
    /// It asked for more bytes where there are none to have: the window was full, or the input had ended.
    NoAnswer {
        /// What it was shown, in bytes.
        shown: usize,
        /// The window that it asked for, in bytes.
        window_bytes: usize,
    },
}

impl fmt::Display for CutterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CutterFault::NoWindow => {
                write!(f, "the cutter asked for a window of 0 bytes: give it a size of at least 1")
            }
            CutterFault::BadLength { answered, shown } => write!(
                f,
                "the cutter cut {answered} bytes from a window of {shown}: \
                 it must answer from 1 to what it was shown"
            ),
            CutterFault::NoAnswer { shown, window_bytes } => write!(
                f,
                "the cutter did not cut {shown} bytes although its window of {window_bytes} was full \
                 or the input had ended: it must answer then"
            ),
        }
    }
}

impl Error for CutterFault {}

/// What a stream wanted a buffer for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferUse {
    /// The window in which the input is cut.
    Window,
    /// A chunk.
    Chunk,
}

impl fmt::Display for BufferUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BufferUse::Window => "window",
            BufferUse::Chunk => "chunk",
        })
    }
}

/// Why no further chunk was cut. The stream has ended and holds nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum ChunkError<E> {
    /// The source failed. All that could be cut from the bytes before it was.
    Source(E),
    /// The pool gave no buffer in time, with its numbers.
    NoBuffer {
        /// What it was for.
        wanted_for: BufferUse,
        /// Where in the input.
        offset_bytes: u64,
        /// What the pool said.
        error: Box<AcquireError>,
    },
    /// The pool took the window back. The bytes in it are lost.
    Revoked {
        /// The first byte of the input that is lost.
        offset_bytes: u64,
        /// Which lease.
        revoked: Revoked,
    },
    /// The cutter misbehaved.
    Cutter {
        /// Where in the input.
        offset_bytes: u64,
        /// What it did.
        fault: CutterFault,
    },
}

impl<E: fmt::Display> fmt::Display for ChunkError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChunkError::Source(error) => write!(f, "the input failed: {error}"),
            ChunkError::NoBuffer { wanted_for, offset_bytes, error } => {
                write!(f, "at byte {offset_bytes}, for a {wanted_for}: {error}")
            }
            ChunkError::Revoked { offset_bytes, revoked } => {
                write!(f, "at byte {offset_bytes}, the window: {revoked}")
            }
            ChunkError::Cutter { offset_bytes, fault } => write!(f, "at byte {offset_bytes}: {fault}"),
        }
    }
}

impl<E: Error + 'static> Error for ChunkError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ChunkError::Source(error) => Some(error),
            ChunkError::NoBuffer { error, .. } => Some(error),
            ChunkError::Revoked { revoked, .. } => Some(revoked),
            ChunkError::Cutter { fault, .. } => Some(fault),
        }
    }
}

/// Why the work on a chunk failed; what a work function returns.
#[derive(Debug)]
pub enum WorkError {
    /// The pool took the chunk's buffer back while the work was waiting for something else.
    Revoked(Revoked),
    /// Anything else.
    Failed(Box<dyn Error + Send + Sync>),
}

impl WorkError {
    /// The work failed with `error`.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> WorkError {
        WorkError::Failed(error.into())
    }
}

impl From<Revoked> for WorkError {
    fn from(revoked: Revoked) -> WorkError {
        WorkError::Revoked(revoked)
    }
}

impl fmt::Display for WorkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WorkError::Revoked(revoked) => revoked.fmt(f),
            WorkError::Failed(error) => error.fmt(f),
        }
    }
}

impl Error for WorkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            WorkError::Revoked(revoked) => Some(revoked),
            WorkError::Failed(error) => Some(&**error),
        }
    }
}

/// What kind of error it was: what the counts are kept by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorReason {
    /// The source of the bytes.
    Source,
    /// The pool had no buffer.
    NoBuffer,
    /// The pool took a buffer back.
    Revoked,
    /// The cutter misbehaved.
    Cutter,
    /// The work failed, or something panicked.
    Work,
}

/// Why a processor ended.
#[derive(Debug)]
pub enum ProcessCause<E> {
    /// No further chunk came.
    Chunk(ChunkError<E>),
    /// The work on a chunk failed.
    Work {
        /// Which chunk.
        seq: u64,
        /// Where in the input it begins.
        offset_bytes: u64,
        /// With what.
        error: WorkError,
    },
    /// The work, the cutter or the source panicked in an earlier poll. All in flight was dropped then.
    Panicked,
}

/// The error of a processor: its cause, and the correlation id of the stream it ended.
#[derive(Debug)]
pub struct ProcessError<E> {
    /// The id that the processor was given.
    pub correlation: Arc<str>,
    /// What happened.
    pub cause: ProcessCause<E>,
}

impl<E> ProcessError<E> {
    /// What kind of error it is.
    pub fn reason(&self) -> ErrorReason {
        match &self.cause {
            ProcessCause::Chunk(ChunkError::Source(_)) => ErrorReason::Source,
            ProcessCause::Chunk(ChunkError::NoBuffer { .. }) => ErrorReason::NoBuffer,
            ProcessCause::Chunk(ChunkError::Cutter { .. }) => ErrorReason::Cutter,
            ProcessCause::Chunk(ChunkError::Revoked { .. })
            | ProcessCause::Work { error: WorkError::Revoked(_), .. } => ErrorReason::Revoked,
            ProcessCause::Work { error: WorkError::Failed(_), .. } | ProcessCause::Panicked => {
                ErrorReason::Work
            }
        }
    }
}

impl<E: fmt::Display> fmt::Display for ProcessError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.correlation)?;
        match &self.cause {
            ProcessCause::Chunk(error) => error.fmt(f),
            ProcessCause::Work { seq, offset_bytes, error } => {
                write!(f, "the work on chunk {seq} at byte {offset_bytes} failed: {error}")
            }
            ProcessCause::Panicked => f.write_str(
                "the work, the cutter or the source panicked earlier, and what was in flight is lost: \
                 the panic's own message says where",
            ),
        }
    }
}

impl<E: Error + 'static> Error for ProcessError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            ProcessCause::Chunk(error) => Some(error),
            ProcessCause::Work { error, .. } => Some(error),
            ProcessCause::Panicked => None,
        }
    }
}

/// A window that would never move on: its overlap is not smaller than its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowError {
    /// The size that was asked for, in bytes.
    pub size_bytes: usize,
    /// The overlap that was asked for, in bytes.
    pub overlap_bytes: usize,
}

impl fmt::Display for WindowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WindowError { size_bytes, overlap_bytes } = self;
        write!(
            f,
            "a window of {size_bytes} bytes cannot overlap the next by {overlap_bytes}: \
             the overlap must be smaller than the size, and the size at least 1"
        )
    }
}

impl Error for WindowError {}
