//! Gives the tables to the recorder: one packet with the file attached, and no answer.
//!
//! The packet waits in the recorder's socket, also when the program is over before it is read. In a forked child this
//! runs inside `malloc`: it allocates nothing.

use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;

/// What is said. The recorder knows it by this text.
const REGISTER: &[u8] = b"plimsoll 1 register";
/// How often, and how long in between, it is tried while the recorder has no room for another connection.
const TRIES: usize = 1000;
static PAUSE: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };

/// Where the recorder listens.
static RECORDER: OnceLock<libc::sockaddr_un> = OnceLock::new();

/// Notes where the recorder listens. False if that cannot be the path of a socket.
pub(crate) fn set_recorder(path: &[u8]) -> bool {
    // SAFETY: all zero bytes are an address.
    let mut address = unsafe { zeroed::<libc::sockaddr_un>() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    // The last byte stays zero.
    if path.is_empty() || path.len() >= address.sun_path.len() {
        return false;
    }
    for (to, &from) in address.sun_path.iter_mut().zip(path) {
        *to = from.cast_signed();
    }
    RECORDER.set(address).is_ok()
}

/// See the head of this file.
pub(crate) fn hand_over(file: &OwnedFd) -> io::Result<()> {
    let Some(recorder) = RECORDER.get() else { return Err(io::ErrorKind::NotConnected.into()) };
    let socket = connect(recorder)?;
    let mut text = libc::iovec { iov_base: REGISTER.as_ptr().cast_mut().cast(), iov_len: REGISTER.len() };
    // Room for one descriptor; aligned as a header is.
    let mut control = [MaybeUninit::<libc::cmsghdr>::zeroed(); 4];
    let descriptor = file.as_raw_fd();
    let bytes = size_of_val(&descriptor) as u32;
    // SAFETY: all zero bytes are an empty message; the macros lead to places inside `control`, which is long enough for
    // a header and a descriptor; the text and the control data live until the call is over.
    let sent = unsafe {
        let mut message = zeroed::<libc::msghdr>();
        message.msg_iov = &raw mut text;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(bytes) as usize;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(bytes) as usize;
        libc::CMSG_DATA(header).cast::<libc::c_int>().write_unaligned(descriptor);
        libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn connect(recorder: &libc::sockaddr_un) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the answer is a descriptor of ours or an error.
    let socket = unsafe {
        let descriptor = libc::socket(libc::AF_UNIX, kind, 0);
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(descriptor)
    };
    for _ in 0..TRIES {
        let length = size_of_val(recorder) as libc::socklen_t;
        // SAFETY: an address, and its length.
        let connected =
            unsafe { libc::connect(socket.as_raw_fd(), (&raw const *recorder).cast(), length) } == 0;
        if connected {
            return Ok(socket);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::WouldBlock && error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
        // Its queue of connections is full, and it is at it.
        // SAFETY: a time to wait, and no place for what was left of it.
        unsafe { libc::nanosleep(&raw const PAUSE, std::ptr::null_mut()) };
    }
    Err(io::ErrorKind::TimedOut.into())
}
