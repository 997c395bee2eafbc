//! The service as a child of the test, on a free port of loopback, asked over plain sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// How long one answer may take: at every allocation, on a busy machine, a profile takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// The four leaks: the route, the function as reports name it, and its file.
pub(crate) const LEAKS: [Leak; 4] = [
    Leak { route: "sessions", function: "leaky_service::leaks::sessions::Sessions::open_session" },
    Leak { route: "log", function: "leaky_service::leaks::log::Log::append_lines" },
    Leak { route: "tasks", function: "leaky_service::leaks::tasks::start_export" },
    Leak { route: "cycle", function: "leaky_service::leaks::cycle::link_pair" },
];

/// One of them.
pub(crate) struct Leak {
    pub(crate) route: &'static str,
    pub(crate) function: &'static str,
}

impl Leak {
    /// The end of its file's path.
    pub(crate) fn file(&self) -> String {
        format!("src/leaks/{}.rs", self.route)
    }

    /// The line that is marked in its file.
    pub(crate) fn line(&self) -> u32 {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(self.file());
        let source = std::fs::read_to_string(path).expect("the example's source is beside its tests");
        let line = source.lines().position(|line| line.ends_with("// LEAK")).expect("the line is marked");
        u32::try_from(line + 1).expect("a file has fewer lines")
    }

    /// Its place as tools write it: the end of the path, and the line.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.file(), self.line())
    }
}

/// A running service; ended when it is dropped.
pub(crate) struct Service {
    child: Child,
    // Held open: the service may print more.
    _stdout: BufReader<ChildStdout>,
    addr: String,
}

impl Service {
    pub(crate) fn start(sampling: &str) -> Service {
        let mut child = Command::new(env!("CARGO_BIN_EXE_leaky-service"))
            .args(["--addr", "127.0.0.1:0", "--sampling", sampling])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it is built with the test");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let mut line = String::new();
        // Ends with the child, at the latest.
        stdout.read_line(&mut line).expect("it says where it listens");
        let addr = line.trim_end().strip_prefix("listening on http://").unwrap_or_default().to_owned();
        let service = Service { child, _stdout: stdout, addr };
        assert!(!service.addr.is_empty(), "it did not say where it listens but {line:?}");
        service
    }

    /// Where a path of it is, for a browser.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) fn get(&self, path: &str) -> Vec<u8> {
        self.ask("GET", path)
    }

    pub(crate) fn post(&self, path: &str) {
        self.ask("POST", path);
    }

    fn ask(&self, method: &str, path: &str) -> Vec<u8> {
        let mut socket = TcpStream::connect(&self.addr).expect("it listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.addr);
        socket.write_all(head.as_bytes()).expect("it takes requests");
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("an answer has a head");
        let body = answer.split_off(end + 4);
        let head = String::from_utf8_lossy(&answer);
        assert!(
            head.starts_with("HTTP/1.1 200 ") && !head.to_ascii_lowercase().contains("transfer-encoding"),
            "{method} {path}: {head}{}",
            String::from_utf8_lossy(&body)
        );
        body
    }

    /// Healthy work, enough to fill the cache.
    pub(crate) fn work(&self) {
        self.post("/work?times=300");
    }

    /// Each leak so many times.
    pub(crate) fn leak(&self, times: u32) {
        for leak in &LEAKS {
            self.post(&format!("/leak/{}?times={times}", leak.route));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has seen.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
