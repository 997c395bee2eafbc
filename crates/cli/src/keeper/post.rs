//! The socket of a recorder: programs hand in their tables, and `plimsoll snapshot` asks for them.
//!
//! Anybody who knows the name may send anything, so a connection is worth one packet, few may be open, and each has a
//! short time. Nothing here waits: the library inside a program needs no answer, and who asks gets one at once.

use std::fs::{self, Permissions};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    listen, recvmsg, sendmsg, socket_with, sockopt,
};

use crate::exit::Failure;
use crate::keeper::place::Place;

/// What every packet begins with: whose it is, and the version of all that follows.
const GREETING: &str = "plimsoll 1 ";
/// How many connections may wait to be accepted. The kernel has a limit of its own, mostly the same.
const BACKLOG: i32 = 4_096;
/// The longest packet that is read, in bytes; the longest that has a meaning is a third of it.
const PACKET_MAX: usize = 128;
/// How long a connection has for its packet.
pub(crate) const PACKET_TIME_MAX: Duration = Duration::from_secs(2);
/// How long who asks waits for the answer. A recorder that writes a large profile to a slow disk takes its time.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// Every user may register: a program may run as another one than we do. See [`crate::keeper::place`].
const SOCKET_MODE: u32 = 0o666;

/// A socket that takes calls. Its name goes when it is dropped.
pub(crate) struct Post {
    listener: OwnedFd,
    path: PathBuf,
}

/// Who is at the other end, as the kernel says it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// In our pid namespace; 0 if it is not seen from there.
    pub(crate) pid: i32,
    pub(crate) uid: u32,
}

/// One who called and has not said anything yet.
pub(crate) struct Caller {
    fd: OwnedFd,
    pub(crate) peer: Peer,
    pub(crate) since: Instant,
}

/// What a caller had to say.
pub(crate) enum Said {
    /// Nothing yet.
    Nothing,
    /// Nothing, and nothing will come.
    Gone,
    /// It handed over its tables.
    Register(OwnedFd),
    /// It asks for the tables of this process.
    Snapshot(i32),
    /// Nothing that has a meaning here.
    Unknown,
}

/// Whether nobody takes calls at this socket any more.
pub(crate) fn is_dead(path: &Path) -> bool {
    matches!(call(path), Err(Errno::CONNREFUSED))
}

fn call(path: &Path) -> rustix::io::Result<OwnedFd> {
    let fd = socket()?;
    connect(&fd, &SocketAddrUnix::new(path)?)?;
    Ok(fd)
}

fn socket() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

impl Post {
    /// Opens one in the private directory.
    pub(crate) fn open(place: &Place) -> Result<Post, Failure> {
        let open = || -> io::Result<Post> {
            let (unfinished, path) = place.socket_names()?;
            let listener = socket()?;
            bind(&listener, &SocketAddrUnix::new(&unfinished)?)?;
            let ready = fs::set_permissions(&unfinished, Permissions::from_mode(SOCKET_MODE))
                .and_then(|()| Ok(listen(&listener, BACKLOG)?))
                .and_then(|()| fs::rename(&unfinished, &path));
            ready.inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
            Ok(Post { listener, path })
        };
        open().map_err(|error| {
            Failure::could_not(format!(
                "cannot listen for programs in {}: {error}",
                place.directory().display()
            ))
        })
    }

    /// Where programs call.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The next caller, if there is one.
    pub(crate) fn accept(&self, now: Instant) -> rustix::io::Result<Option<Caller>> {
        let fd = match accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(fd) => fd,
            // Who gave up while it waited is nobody.
            Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => return Ok(None),
            Err(error) => return Err(error),
        };
        let credentials = getsockopt(&fd, PeerCredentials).map_err(|_| Errno::IO)?;
        let peer = Peer { pid: credentials.pid(), uid: credentials.uid() };
        Ok(Some(Caller { fd, peer, since: now }))
    }
}

impl AsFd for Post {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl AsFd for Caller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Caller {
    /// Its packet, if it has come.
    pub(crate) fn hear(&self) -> Said {
        match packet(&self.fd) {
            Ok(Some((text, fd))) => understand(&text, fd),
            Ok(None) => Said::Gone,
            Err(Errno::AGAIN | Errno::INTR) => Said::Nothing,
            Err(_) => Said::Unknown,
        }
    }

    /// Answers a question with the tables, or that there are none. Who does not listen gets nothing.
    pub(crate) fn answer(self, tables: Option<BorrowedFd<'_>>) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = tables.as_slice();
        if !fds.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(fds));
        }
        let word: &[u8] = if fds.is_empty() { b"none" } else { b"ok" };
        let _ =
            sendmsg(&self.fd, &[IoSlice::new(word)], &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }
}

/// Asks the recorder at `path` for the tables of a process. Nothing if it has none, or does not answer.
pub(crate) fn ask(path: &Path, pid: i32) -> io::Result<Option<OwnedFd>> {
    let fd = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    for timeout in [sockopt::Timeout::Recv, sockopt::Timeout::Send] {
        sockopt::set_socket_timeout(&fd, timeout, Some(ANSWER_TIME_MAX))?;
    }
    connect(&fd, &SocketAddrUnix::new(path)?)?;
    rustix::net::send(&fd, format!("{GREETING}snapshot {pid}").as_bytes(), SendFlags::NOSIGNAL)?;
    match packet(&fd)? {
        Some((text, Some(tables))) if text == "ok" => Ok(Some(tables)),
        _ => Ok(None),
    }
}

/// One packet as text, and the one descriptor that came with it; nothing at the end.
fn packet(fd: &OwnedFd) -> rustix::io::Result<Option<(String, Option<OwnedFd>)>> {
    let mut bytes = [0; PACKET_MAX];
    // Room for one more than is wanted: who sends several is not understood. What has no room is closed by the
    // kernel.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(fd, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds: Vec<OwnedFd> = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            fds.extend(rights);
        }
    }
    if message.bytes == 0 && fds.is_empty() {
        return Ok(None);
    }
    let cut = message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
    if cut || fds.len() > 1 {
        return Ok(Some((String::new(), None)));
    }
    let text = String::from_utf8_lossy(&bytes[..message.bytes]).into_owned();
    Ok(Some((text, fds.pop())))
}

fn understand(text: &str, fd: Option<OwnedFd>) -> Said {
    let text = text.trim_end_matches(['\0', '\n']);
    match (text.strip_prefix(GREETING), fd) {
        (Some("register"), Some(fd)) => Said::Register(fd),
        (Some(question), None) => match question.strip_prefix("snapshot ").map(str::parse) {
            Some(Ok(pid)) => Said::Snapshot(pid),
            _ => Said::Unknown,
        },
        _ => Said::Unknown,
    }
}
