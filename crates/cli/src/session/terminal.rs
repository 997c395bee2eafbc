//! A terminal that the program has too: whether a line may be shown on it, and how it goes away again.

use std::io;

use rustix::process::getpgrp;
use rustix::termios::{LocalModes, tcgetattr, tcgetpgrp};

/// Goes to the beginning of the line and erases it.
pub(crate) const ERASE: &[u8] = b"\r\x1b[K";

/// Whether we may write: the terminal hands out whole lines, and our group is the one that it belongs to. While it is in
/// raw mode a full-screen program owns it.
pub(crate) fn is_free() -> bool {
    let terminal = io::stderr();
    let whole_lines = tcgetattr(&terminal).is_ok_and(|mode| mode.local_modes.contains(LocalModes::ICANON));
    // A terminal that is not ours (standard error of another session) has no group to compare with.
    let ours = tcgetpgrp(&terminal).map_or(true, |group| group == getpgrp());
    whole_lines && ours
}
