//! As much of HTTP/1.1 as puts load on a server: requests with bodies of known length, answers of known length or up to
//! the end of the connection. Not for answers in chunks; a stream of those is read as bytes.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// A server that says nothing for so long is given up; a stream may, and is asked again.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// How often a reader of a silent stream looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(250);
/// Read at once.
const BUFFER_BYTES: usize = 16 << 10;

/// A request of which the answer is not looked at.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn get(path: &str) -> Request {
        Request { method: "GET", path: path.to_owned(), body: Vec::new() }
    }

    pub(super) fn of(method: &'static str, path: &str, body: Vec<u8>) -> Request {
        Request { method, path: path.to_owned(), body }
    }
}

/// Sends all of these; an answer that is no success is a failure.
pub(super) fn send(port: u16, requests: &[Request], is_unwanted: &dyn Fn() -> bool) -> Result<(), String> {
    let mut open = None;
    for request in requests {
        if is_unwanted() {
            break;
        }
        let mut stream = match open.take() {
            Some(stream) => stream,
            None => connect(port, SILENCE_MAX)?,
        };
        let goes_on = exchange(&mut stream, request)
            .map_err(|why| format!("{} {}: {why}", request.method, request.path))?;
        open = goes_on.then_some(stream);
    }
    Ok(())
}

/// Reads so much of what is streamed from there.
pub(super) fn read(
    port: u16,
    path: &str,
    bytes: usize,
    is_unwanted: &dyn Fn() -> bool,
) -> Result<(), String> {
    let mut stream = connect(port, LOOK)?;
    write(&mut stream, &Request::get(path))?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut left = bytes;
    while left > 0 && !is_unwanted() {
        match stream.read(&mut buffer) {
            Ok(0) => return Err(format!("the stream of {path} ended")),
            Ok(count) => left = left.saturating_sub(count),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(format!("the stream of {path}: {error}")),
        }
    }
    Ok(())
}

fn connect(port: u16, silence_max: Duration) -> Result<BufReader<TcpStream>, String> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).and_then(|stream| {
        stream.set_read_timeout(Some(silence_max))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    });
    stream.map(BufReader::new).map_err(|error| format!("port {port}: {error}"))
}

fn write(stream: &mut BufReader<TcpStream>, request: &Request) -> Result<(), String> {
    let Request { method, path, body } = request;
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    let stream = stream.get_mut();
    stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body))
        .map_err(|error| format!("could not be sent: {error}"))
}

/// Sends one and reads its answer; says whether the connection can take another.
fn exchange(stream: &mut BufReader<TcpStream>, request: &Request) -> Result<bool, String> {
    write(stream, request)?;
    let lost = |error: std::io::Error| format!("the answer was cut off: {error}");
    let mut line = String::new();
    stream.read_line(&mut line).map_err(lost)?;
    let status = line.split(' ').nth(1).unwrap_or_default().to_owned();
    if !status.starts_with('2') {
        return Err(format!("the answer is `{}`", line.trim_end()));
    }
    let mut goes_on = line.starts_with("HTTP/1.1");
    let mut length = None;
    loop {
        line.clear();
        stream.read_line(&mut line).map_err(lost)?;
        let Some((name, value)) = line.split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse::<u64>().ok(),
            "connection" => goes_on &= !value.trim().eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    let read = match length {
        Some(length) => std::io::copy(&mut stream.by_ref().take(length), &mut std::io::sink()),
        None => std::io::copy(stream, &mut std::io::sink()),
    };
    let read = read.map_err(lost)?;
    match length {
        Some(length) if read < length => Err(format!("{read} of {length} bytes came")),
        Some(_) => Ok(goes_on),
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Answers the requests of one connection with these, and returns what the client made of it.
    fn served(answers: Vec<&'static str>, ask: impl FnOnce(u16) -> Result<(), String>) -> Result<(), String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let server = thread::spawn(move || {
            let (stream, _) = listener.accept().expect("somebody asks");
            let mut stream = BufReader::new(stream);
            for answer in answers {
                let mut line = String::new();
                while line != "\r\n" {
                    line.clear();
                    stream.read_line(&mut line).expect("it asks");
                }
                stream.get_mut().write_all(answer.as_bytes()).expect("it listens");
            }
        });
        let asked = ask(port);
        server.join().expect("the server is ours");
        asked
    }

    #[test]
    fn a_connection_is_used_again_and_failures_are_said() {
        let two = [Request::get("/a"), Request::get("/b")];
        let good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        served(vec![good, "HTTP/1.0 204 None\r\n\r\n"], |port| send(port, &two, &|| false))
            .expect("both are good");
        let bad = served(vec![good, "HTTP/1.1 503 Busy\r\n\r\n"], |port| send(port, &two, &|| false));
        assert_eq!(bad.expect_err("one is busy"), "GET /b: the answer is `HTTP/1.1 503 Busy`");
    }

    #[test]
    fn a_stream_is_read_as_far_as_was_asked() {
        let stream = "HTTP/1.1 200 OK\r\n\r\ndata: 1\n\ndata: 2\n\n";
        served(vec![stream], |port| read(port, "/s", stream.len(), &|| false)).expect("it is long enough");
        let short = served(vec![stream], |port| read(port, "/s", stream.len() + 1, &|| false));
        assert_eq!(short.expect_err("it is too short"), "the stream of /s ended");
    }
}
