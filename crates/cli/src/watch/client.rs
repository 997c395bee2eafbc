//! One GET at a time, over plain HTTP: with a time that it may take and a size that it may have.

use std::fmt;
use std::io;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes as Chunk;
use hyper::header::{ACCEPT, HOST, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::exit::Failure;
use crate::session::signals::Signals;

/// How long one answer may take. A service that looks up its names for the first time takes some seconds.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// How large one may be, in bytes: a profile of 100,000 stacks has 50 MiB.
const ANSWER_BYTES_MAX: usize = 128 << 20;
/// How often is looked for signals meanwhile.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(50);
/// So much of an error's text is said again.
const DETAIL_CHARS_MAX: usize = 200;
/// Where programs hand out their heap, if the address names no place.
const PATH_DEFAULT: &str = "/debug/pprof/heap";
/// Asks ours for the form that has ages; others do not know it.
const QUERY: &str = "format=json";

/// A service that is asked.
pub(crate) struct Client {
    runtime: Runtime,
    authority: String,
    host: String,
    port: u16,
    path: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum GetError {
    Connect(io::Error),
    Http(hyper::Error),
    Status(StatusCode, String),
    /// The body is too long, or was cut.
    Body(String),
    TooSlow,
    /// A signal came meanwhile.
    Interrupted,
}

impl fmt::Display for GetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GetError::Connect(error) => write!(f, "cannot connect: {error}"),
            GetError::Http(error) => write!(f, "it does not speak HTTP as it should: {error}"),
            GetError::Status(status, detail) if detail.is_empty() => write!(f, "it answers {status}"),
            GetError::Status(status, detail) => write!(f, "it answers {status}: {detail}"),
            GetError::Body(error) => {
                write!(f, "its answer was not taken ({} MiB at most): {error}", ANSWER_BYTES_MAX >> 20)
            }
            GetError::TooSlow => write!(f, "no answer within {} s", ANSWER_TIME_MAX.as_secs()),
            GetError::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl Client {
    /// For an address such as `http://localhost:8080`, with or without a path.
    pub(crate) fn new(url: &str) -> Result<Client, Failure> {
        let wrong = |why: &str| Failure::usage(format!("`{url}` is no address that can be watched: {why}"));
        let uri: Uri = url.parse().map_err(|error| wrong(&format!("{error}")))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(wrong("https is not spoken; ask the service on its own machine, with http"));
            }
            _ => return Err(wrong("it begins with http://")),
        }
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("no user is told to the service"));
        }
        let path = match (uri.path(), uri.query()) {
            ("" | "/", None) => format!("{PATH_DEFAULT}?{QUERY}"),
            (path, None) => format!("{path}?{QUERY}"),
            (path, Some(query)) => format!("{path}?{query}"),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::could_not(format!("cannot start the runtime: {error}")))?;
        Ok(Client {
            runtime,
            authority: authority.as_str().to_owned(),
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: authority.port_u16().unwrap_or(80),
            path,
        })
    }

    /// What is asked for.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// One answer. Given up when a signal comes, which is left for whoever reads signals.
    pub(crate) fn get(&self, signals: &Signals) -> Result<Vec<u8>, GetError> {
        self.runtime.block_on(async {
            tokio::select! {
                answer = tokio::time::timeout(ANSWER_TIME_MAX, self.ask()) => {
                    answer.unwrap_or(Err(GetError::TooSlow))
                }
                () = arrival(signals) => Err(GetError::Interrupted),
            }
        })
    }

    async fn ask(&self) -> Result<Vec<u8>, GetError> {
        let stream = TcpStream::connect((&*self.host, self.port)).await.map_err(GetError::Connect)?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(GetError::Http)?;
        let request = Request::get(&*self.path)
            .header(HOST, &*self.authority)
            .header(USER_AGENT, concat!("plimsoll/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json, application/octet-stream")
            .body(Empty::<Chunk>::new())
            .map_err(|error| GetError::Body(error.to_string()))?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(GetError::Http)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| GetError::Body(error.to_string()))?.to_bytes();
            if status == StatusCode::OK {
                Ok(body.to_vec())
            } else {
                Err(GetError::Status(status, detail(&body)))
            }
        };
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            answer = &mut answer => answer,
            // The body may have come whole before the connection was closed.
            closed = connection => match closed {
                Ok(()) => answer.await,
                Err(error) => Err(GetError::Http(error)),
            },
        }
    }
}

/// Returns when a signal is there, and leaves it.
async fn arrival(signals: &Signals) {
    while !signals.is_one_there() {
        tokio::time::sleep(SIGNAL_INTERVAL).await;
    }
}

/// What a problem says of itself, or the beginning of another text.
fn detail(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(problem) => problem.get("detail").and_then(|it| it.as_str()).unwrap_or_default().to_owned(),
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    text.chars().take(DETAIL_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_name_a_place_or_not() {
        for (url, host, port, path) in [
            ("http://localhost:8080", "localhost", 8080, "/debug/pprof/heap?format=json"),
            ("http://[::1]:7077/", "::1", 7077, "/debug/pprof/heap?format=json"),
            ("http://a/b", "a", 80, "/b?format=json"),
            ("http://a/b?gc=1", "a", 80, "/b?gc=1"),
        ] {
            let client = Client::new(url).unwrap_or_else(|failure| panic!("{url}: {}", failure.message));
            assert_eq!((&*client.host, client.port, &*client.path), (host, port, path), "{url}");
        }
        for wrong in ["localhost:8080", "https://a", "ftp://a", "http://u:p@a", "http://", "/x"] {
            assert!(Client::new(wrong).is_err(), "{wrong}");
        }
    }
}
