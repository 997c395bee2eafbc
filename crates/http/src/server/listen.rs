//! The listening socket, whose options every accepted socket inherits.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use plimsoll_core::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// How many connections the kernel may complete before we accept them.
const BACKLOG: i32 = 1024;

/// Why the service cannot listen.
#[derive(Debug)]
pub struct ListenError {
    addr: SocketAddr,
    cause: io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { addr, cause } = self;
        write!(f, "cannot listen on {addr}: ")?;
        match cause.kind() {
            io::ErrorKind::AddrInUse => write!(
                f,
                "the port is in use; stop the program that has it, or choose another with --addr {}:PORT \
                 (port 0 takes a free one)",
                addr.ip()
            ),
            io::ErrorKind::PermissionDenied => {
                write!(f, "not permitted; choose a port from 1024 on with --addr {}:PORT", addr.ip())
            }
            io::ErrorKind::AddrNotAvailable => {
                write!(f, "this machine has no such address; --addr 127.0.0.1:{} is there", addr.port())
            }
            _ => cause.fmt(f),
        }
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// What every accepted socket inherits.
#[derive(Clone, Copy, Debug)]
pub struct SocketOptions {
    /// Bounds what the kernel holds that a reader has not taken; left alone it grows to megabytes, outside
    /// every figure of the process.
    pub send_buffer: Bytes,
    /// Bounds what the kernel holds of a body that is not read; the same.
    pub receive_buffer: Bytes,
    /// Has the kernel drop a peer that acknowledges nothing for so long.
    pub user_timeout: Duration,
}

/// Listens on `addr`.
///
/// # Errors
/// [`ListenError`], which says what to do.
pub fn listen(addr: SocketAddr, options: SocketOptions) -> Result<TcpListener, ListenError> {
    let open = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        // After a restart the port may be taken at once; a living listener still holds it.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.set_send_buffer_size(options.send_buffer.as_usize())?;
        socket.set_recv_buffer_size(options.receive_buffer.as_usize())?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(options.user_timeout))?;
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    open().map_err(|cause| ListenError { addr, cause })
}
