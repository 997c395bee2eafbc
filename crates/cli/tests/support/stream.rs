//! Event streams as a reader sees them. Fifty readers share two processors with the service that they test,
//! so frames are found in large pieces and not copied.

use std::fmt;
use std::io::{self, Read};
use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

use memchr::memmem;
use serde_json::Value as Json;
use socket2::SockRef;

use super::http::{Client, Head, Request, Response, is_timeout};
use super::server::Server;
use super::wait::PATIENCE;

/// How much is read at a time.
const READ_BYTES: usize = 64 << 10;
/// The longest frame that a reader takes for one.
const FRAME_BYTES_MAX: usize = 16 << 20;

/// The id of an event: which life of its topic, and the how manieth event in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    pub(crate) epoch: u64,
    pub(crate) offset: u64,
}

impl Id {
    pub(crate) fn parse(text: &str) -> Option<Id> {
        let (epoch, offset) = text.split_once('-')?;
        Some(Id { epoch: u64::from_str_radix(epoch, 16).ok()?, offset: offset.parse().ok()? })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", self.epoch, self.offset)
    }
}

/// Undoes the chunked transfer encoding, piece by piece.
#[derive(Debug, Default)]
pub(crate) struct Dechunker {
    at: At,
    // Digits of a length, or a line that is passed over.
    line: Vec<u8>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Length,
    Data(usize),
    // The line end behind a chunk.
    End,
    Trailer,
    Done,
}

impl Dechunker {
    /// Appends to `out` what `input` carries; says how much of it was used.
    pub(crate) fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, String> {
        let mut used = 0;
        while used < input.len() && self.at != At::Done {
            if let At::Data(left) = &mut self.at {
                let take = (*left).min(input.len() - used);
                out.extend_from_slice(&input[used..used + take]);
                used += take;
                *left -= take;
                if *left == 0 {
                    self.at = At::End;
                }
                continue;
            }
            let byte = input[used];
            used += 1;
            if byte != b'\n' {
                self.line.push(byte);
                continue;
            }
            let line = String::from_utf8_lossy(&self.line).trim_end_matches('\r').to_owned();
            self.line.clear();
            self.at = match self.at {
                At::Length => match usize::from_str_radix(&line, 16) {
                    Ok(0) => At::Trailer,
                    Ok(length) => At::Data(length),
                    Err(_) => return Err(format!("{line:?} is no length of a chunk")),
                },
                At::End if line.is_empty() => At::Length,
                At::Trailer if line.is_empty() => At::Done,
                At::Trailer => At::Trailer,
                _ => return Err(format!("{line:?} behind a chunk")),
            };
        }
        Ok(used)
    }

    /// Whether the body has ended as it should.
    pub(crate) fn is_done(&self) -> bool {
        self.at == At::Done
    }
}

/// One frame as it came, its empty line left off.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'a>(&'a [u8]);

impl<'a> Frame<'a> {
    /// All of it.
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.0
    }

    fn fields(self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let lines = self.0.split(|byte| *byte == b'\n');
        lines.filter_map(move |line| {
            let line = std::str::from_utf8(line).expect("an event stream is UTF-8");
            line.strip_prefix(name)?.strip_prefix(": ")
        })
    }

    /// A comment keeps the connection awake and says nothing.
    pub(crate) fn is_comment(self) -> bool {
        self.0.starts_with(b":")
    }

    /// The id is the first line, where there is one.
    pub(crate) fn id(self) -> Option<Id> {
        let line = self.0.strip_prefix(b"id: ")?;
        let end = memchr::memchr(b'\n', line).unwrap_or(line.len());
        Id::parse(std::str::from_utf8(&line[..end]).ok()?)
    }

    pub(crate) fn kind(self) -> &'a str {
        self.fields("event").next().unwrap_or_default()
    }

    /// The data, its lines joined as a browser joins them.
    pub(crate) fn data(self) -> String {
        self.fields("data").collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0[..self.0.len().min(500)]))
    }
}

/// An event that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: Option<Id>,
    pub(crate) kind: String,
    pub(crate) data: String,
}

impl Event {
    fn of(frame: Frame<'_>) -> Event {
        Event { id: frame.id(), kind: frame.kind().to_owned(), data: frame.data() }
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The number of an event that has one.
    pub(crate) fn offset(&self) -> u64 {
        self.id.unwrap_or_else(|| panic!("no id in {self:?}")).offset
    }
}

/// Checks that the events of a reader are one run: the same epoch, each offset one more than the last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Order {
    pub(crate) last: Option<Id>,
}

impl Order {
    /// Takes the next id, or says how it does not join.
    pub(crate) fn take(&mut self, id: Id) -> Result<(), String> {
        let joins = self.last.is_none_or(|last| last.epoch == id.epoch && last.offset + 1 == id.offset);
        if !joins {
            return Err(format!("{id} came after {:?}", self.last.map(|last| last.to_string())));
        }
        self.last = Some(id);
        Ok(())
    }
}

/// An open stream.
pub(crate) struct Stream {
    socket: TcpStream,
    pub(crate) head: Head,
    raw: Box<[u8]>,
    dechunker: Dechunker,
    // Text of the body; what lies before `taken` was given out, up to `searched` no frame ends.
    text: Vec<u8>,
    taken: usize,
    searched: usize,
}

impl Stream {
    /// A stream that the service must grant.
    pub(crate) fn open(server: &Server, topic: &str) -> Stream {
        Stream::open_after(server, topic, None)
    }

    /// One that goes on after the event with this id.
    pub(crate) fn open_after(server: &Server, topic: &str, last: Option<&str>) -> Stream {
        let client = Client::connect(server.addr());
        Stream::on(client, topic, last).unwrap_or_else(|refusal| panic!("{refusal:?}"))
    }

    /// Asks for a stream on a connection of the caller's making, or says how it was refused.
    pub(crate) fn on(client: Client, topic: &str, last: Option<&str>) -> Result<Stream, Response> {
        Stream::try_on(client, topic, last).unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// [`Stream::on`] where it may be cut off without an answer too.
    pub(crate) fn try_on(
        mut client: Client,
        topic: &str,
        last: Option<&str>,
    ) -> io::Result<Result<Stream, Response>> {
        let request = Request::new("GET", &format!("/stream/{topic}"));
        let request = match last {
            Some(last) => request.header("Last-Event-ID", last),
            None => request,
        };
        client.try_begin(&request)?;
        let head = client.try_head()?;
        if head.status != 200 {
            return client.rest_of(head).map(Err);
        }
        assert_eq!(head.header("content-type"), Some("text/event-stream"), "{head:?}");
        assert_eq!(head.header("transfer-encoding"), Some("chunked"), "{head:?}");
        let (socket, ahead) = client.into_parts();
        let mut stream = Stream {
            socket,
            head,
            raw: vec![0; READ_BYTES].into(),
            dechunker: Dechunker::default(),
            text: Vec::new(),
            taken: 0,
            searched: 0,
        };
        stream.dechunker.feed(&ahead, &mut stream.text).unwrap_or_else(|error| panic!("{error}"));
        Ok(Ok(stream))
    }

    /// The next frame, comments included; nothing when the body has ended as it should.
    pub(crate) fn frame(&mut self) -> io::Result<Option<Frame<'_>>> {
        let found = loop {
            if let Some(found) = self.find() {
                break found;
            }
            if self.dechunker.is_done() {
                return Ok(None);
            }
            self.fill()?;
        };
        Ok(Some(Frame(&self.text[found])))
    }

    fn find(&mut self) -> Option<Range<usize>> {
        let end = self.searched + memmem::find(&self.text[self.searched..], b"\n\n")?;
        let found = self.taken..end;
        self.taken = end + 2;
        self.searched = self.taken;
        Some(found)
    }

    fn fill(&mut self) -> io::Result<()> {
        self.text.drain(..self.taken);
        self.taken = 0;
        // The first half of the empty line may be here already.
        self.searched = self.text.len().saturating_sub(1);
        if self.text.len() > FRAME_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame does not end"));
        }
        let read = self.socket.read(&mut self.raw)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let fed = self.dechunker.feed(&self.raw[..read], &mut self.text);
        fed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(())
    }

    /// The next event; nothing when the body has ended as it should.
    pub(crate) fn try_next(&mut self) -> io::Result<Option<Event>> {
        // Comments keep a read from ever taking too long.
        let started = Instant::now();
        loop {
            match self.frame()? {
                None => return Ok(None),
                Some(frame) if !frame.is_comment() => return Ok(Some(Event::of(frame))),
                Some(_) if started.elapsed() > PATIENCE => {
                    let why = format!("no event for {PATIENCE:?}, only comments");
                    return Err(io::Error::new(io::ErrorKind::TimedOut, why));
                }
                Some(_) => {}
            }
        }
    }

    /// The next event, which must come.
    pub(crate) fn next(&mut self) -> Event {
        match self.try_next() {
            Ok(Some(event)) => event,
            Ok(None) => panic!("the stream has ended"),
            Err(error) => panic!("the stream broke off: {error}"),
        }
    }

    /// Waits for a comment, while nothing else comes.
    pub(crate) fn comment(&mut self) {
        match self.frame() {
            Ok(Some(frame)) => assert!(frame.is_comment(), "an event in place of a comment: {frame:?}"),
            other => panic!("no comment: {:?}", other.map(|frame| frame.is_some())),
        }
    }

    /// The next event, which must be the last: the service says why it ends the stream, and ends it.
    pub(crate) fn farewell(&mut self) -> Json {
        let event = self.next();
        assert_eq!((event.kind.as_str(), event.id), ("evicted", None), "{event:?}");
        assert_eq!(self.try_next().expect("it ends as it should"), None);
        event.json()
    }

    /// How long each read may take.
    pub(crate) fn patience(&self, patience: Duration) {
        self.socket.set_read_timeout(Some(patience)).expect("it is not zero");
    }

    /// The port of this end.
    pub(crate) fn port(&self) -> u16 {
        self.socket.local_addr().expect("it is connected").port()
    }

    /// Says that nothing more will be sent, and goes on reading.
    pub(crate) fn shut_writing(&self) {
        self.socket.shutdown(Shutdown::Write).expect("it is open");
    }

    /// Reads until the connection ends, in whatever way. Fails when it does not.
    pub(crate) fn until_ended(mut self) {
        loop {
            match self.socket.read(&mut self.raw) {
                Ok(1..) => {}
                Err(error) if is_timeout(&error) => panic!("the connection is still open"),
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// Closes with a reset.
    pub(crate) fn reset(self) {
        SockRef::from(&self.socket).set_linger(Some(Duration::ZERO)).expect("a socket lingers as it is told");
    }

    /// A handle by which another thread can cut it.
    pub(crate) fn handle(&self) -> TcpStream {
        self.socket.try_clone().expect("there is room for one more descriptor")
    }
}
