//! Leak 3, *a task that never ends*: an export waits for an approval that nobody can give any more. The runtime keeps
//! the task, the task keeps its buffer, and no list of the program's own shows either.
//!
//! Mended by an end to the wait: a deadline around it, or a sender that is kept where it is dropped with the request,
//! since a dropped sender wakes its receiver.

use tokio::sync::oneshot;

use super::LEAK_BYTES;

/// Starts an export; says how many bytes it holds while it waits.
#[inline(never)]
pub(crate) fn start_export() -> usize {
    let rows = vec![b'.'; LEAK_BYTES]; // LEAK
    let bytes = rows.len();
    let (approve, approved) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let approved = approved.await.is_ok();
        // Never reached; it is what the rows are kept for.
        approved.then_some(rows)
    });
    // As when it is handed to a callback that is never called and never dropped.
    std::mem::forget(approve);
    bytes
}
