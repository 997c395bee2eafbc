//! HTTP/1.1 by hand over one blocking socket. A client library would refuse to send what has to be sent here:
//! bodies that stop in the middle, lengths that lie, sockets that are reset.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value as Json;
use socket2::{Domain, SockRef, Socket, Type};

use super::stream::Dechunker;
use super::wait::PATIENCE;

/// The longest head of an answer.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// The longest body of an answer that is read whole.
const BODY_BYTES_MAX: usize = 4 << 20;

/// A request as text. Nothing is checked, and nothing added that was not asked for but `Host` and a length.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    host: bool,
    body: Option<Vec<u8>>,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Request {
        let (method, target) = (method.to_owned(), target.to_owned());
        Request { method, target, headers: Vec::new(), host: true, body: None }
    }

    pub(crate) fn header(mut self, name: &str, value: impl fmt::Display) -> Request {
        if name.eq_ignore_ascii_case("host") {
            self.host = false;
        }
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Sends no `Host`.
    pub(crate) fn without_host(mut self) -> Request {
        self.host = false;
        self
    }

    /// A body with its length announced.
    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Request {
        self.body = Some(body.as_ref().to_vec());
        self
    }

    /// The text that goes over the wire.
    pub(crate) fn bytes(&self, addr: SocketAddr) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if self.host {
            text += &format!("Host: {addr}\r\n");
        }
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = &self.body {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        let mut bytes = (text + "\r\n").into_bytes();
        bytes.extend(self.body.iter().flatten());
        bytes
    }
}

/// The beginning of an answer.
#[derive(Clone)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    /// A header by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    fn parse(text: &str) -> Option<Head> {
        let mut lines = text.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let headers = lines.filter(|line| !line.is_empty()).map(header).collect::<Option<_>>()?;
        Some(Head { status, headers })
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.status, self.headers)
    }
}

/// An answer that was read whole.
#[derive(Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Checks that it is a problem of this status and kind and that it says all of `words`; gives its detail.
    pub(crate) fn problem(&self, status: u16, kind: &str, words: &[&str]) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.head.header("content-type"), Some("application/problem+json"), "{self:?}");
        let document = self.json();
        assert_eq!(document["type"], format!("urn:plimsoll:problem:{kind}"), "{self:?}");
        assert_eq!(document["status"], status, "{self:?}");
        assert!(document["title"].as_str().is_some_and(|title| !title.is_empty()), "{self:?}");
        let detail = document["detail"].as_str().unwrap_or_else(|| panic!("no detail in {self:?}"));
        for word in words {
            assert!(detail.contains(word), "`{word}` is missing: {detail}");
        }
        detail.to_owned()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(1000)]);
        write!(f, "{:?} {body:?}", self.head)
    }
}

/// One connection. Each read and each write has [`PATIENCE`].
pub(crate) struct Client {
    addr: SocketAddr,
    stream: TcpStream,
    // Read behind the head or the body that was asked for.
    ahead: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> Client {
        Client::connect_with(addr, None)
    }

    /// Connects, with a receive buffer of this many bytes when one is given. It bounds the window from the
    /// beginning, so it has to be set before.
    pub(crate) fn connect_with(addr: SocketAddr, receive_buffer: Option<usize>) -> Client {
        Client::try_connect(addr, receive_buffer).unwrap_or_else(|error| panic!("cannot connect: {error}"))
    }

    pub(crate) fn try_connect(addr: SocketAddr, receive_buffer: Option<usize>) -> io::Result<Client> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.connect_timeout(&addr.into(), PATIENCE)?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client { addr, stream, ahead: Vec::new() })
    }

    /// The port of this end.
    pub(crate) fn port(&self) -> u16 {
        self.stream.local_addr().expect("it is connected").port()
    }

    /// Changes how long each read may take.
    pub(crate) fn patience(&self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).expect("it is not zero");
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap_or_else(|error| panic!("cannot send {} bytes: {error}", bytes.len()));
    }

    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends the request, and does not wait for the answer.
    pub(crate) fn begin(&mut self, request: &Request) {
        self.try_begin(request).unwrap_or_else(|error| panic!("cannot send the request: {error}"));
    }

    pub(crate) fn try_begin(&mut self, request: &Request) -> io::Result<()> {
        let bytes = request.bytes(self.addr);
        self.try_send(&bytes)
    }

    /// Sends the request and reads the whole answer.
    pub(crate) fn ask(&mut self, request: &Request) -> Response {
        // An answer may come, and the connection end, before the request was sent whole.
        let sent = self.try_send(&request.bytes(self.addr));
        self.try_response().unwrap_or_else(|error| panic!("no answer: {error}; sent: {sent:?}"))
    }

    /// Reads the whole answer to what was sent.
    pub(crate) fn response(&mut self) -> Response {
        self.try_response().unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    pub(crate) fn try_response(&mut self) -> io::Result<Response> {
        let head = self.try_head()?;
        self.rest_of(head)
    }

    /// Reads the head of the answer; the body stays to be read.
    pub(crate) fn head(&mut self) -> Head {
        self.try_head().unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    pub(crate) fn try_head(&mut self) -> io::Result<Head> {
        loop {
            if let Some(end) = find(&self.ahead, b"\r\n\r\n") {
                let head: Vec<u8> = self.ahead.drain(..end + 4).collect();
                let head = std::str::from_utf8(&head).ok().and_then(Head::parse);
                match head.ok_or_else(|| bad("not the head of an answer"))? {
                    // `100 Continue` is no answer yet.
                    head if head.status < 200 => continue,
                    head => return Ok(head),
                }
            }
            if self.ahead.len() > HEAD_BYTES_MAX {
                return Err(bad("the head of the answer does not end"));
            }
            if self.more()? == 0 {
                return Err(bad(&format!("it ends after {:?}", String::from_utf8_lossy(&self.ahead))));
            }
        }
    }

    /// Reads the body of an answer whose head was read.
    pub(crate) fn rest_of(&mut self, head: Head) -> io::Result<Response> {
        self.body_of(&head).map(|body| Response { status: head.status, head, body })
    }

    fn body_of(&mut self, head: &Head) -> io::Result<Vec<u8>> {
        if head.header("transfer-encoding") == Some("chunked") {
            let mut dechunker = Dechunker::default();
            let mut body = Vec::new();
            loop {
                let ahead = std::mem::take(&mut self.ahead);
                let used = dechunker.feed(&ahead, &mut body).map_err(|error| bad(&error))?;
                self.ahead.extend_from_slice(&ahead[used..]);
                if dechunker.is_done() {
                    return Ok(body);
                }
                if body.len() > BODY_BYTES_MAX || self.more()? == 0 {
                    return Err(bad("the body of the answer does not end as it should"));
                }
            }
        }
        let length = head.header("content-length").map_or(Ok(0), str::parse);
        let length: usize = length.map_err(|_| bad("the length of the answer is no number"))?;
        while self.ahead.len() < length {
            if self.ahead.len() > BODY_BYTES_MAX || self.more()? == 0 {
                return Err(bad("the body of the answer is short"));
            }
        }
        Ok(self.ahead.drain(..length).collect())
    }

    fn more(&mut self) -> io::Result<usize> {
        let mut piece = [0; 16 << 10];
        let read = self.stream.read(&mut piece)?;
        self.ahead.extend_from_slice(&piece[..read]);
        Ok(read)
    }

    /// Reads until the other side ends the connection, by its end or by a reset. Fails when it does not.
    pub(crate) fn until_ended(&mut self) {
        loop {
            match self.more() {
                Ok(0) => return,
                Ok(_) => self.ahead.clear(),
                Err(error) if is_timeout(&error) => panic!("the connection is still open"),
                Err(_) => return,
            }
        }
    }

    /// Says that nothing more will be sent, and goes on reading.
    pub(crate) fn shut_writing(&self) {
        // It may be closed from the other side already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Closes with a reset: what was sent is thrown away, and the other side is told at once.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("a socket lingers as it is told");
    }

    /// The socket, and what was read of it already.
    pub(crate) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.ahead)
    }
}

/// Whether a read or a write was given up because nothing happened for too long.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|window| window == needle)
}
