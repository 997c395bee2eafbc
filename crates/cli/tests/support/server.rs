//! The program as a child of the test.
//!
//! It is found by `PLIMSOLL_BIN`, as it is shipped, or else as Cargo built it for this test. It takes a free
//! port and says which on standard output; that line is the sign that it listens. At the end it is told to
//! stop and has to end with code 0 within ten seconds, without ever having panicked. It is ended by its own
//! process id, and nothing else is.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;

use super::http::{Client, Request, Response};
use super::kernel::{self, Resident};
use super::stream::Id;
use super::wait::{PATIENCE, until, within};

/// How long a stop may take, with whatever is open.
pub(crate) const STOP_MAX: Duration = Duration::from_secs(10);

/// How much of its log is kept; what comes after it is counted and dropped.
const LOG_BYTES_MAX: usize = 16 << 20;

/// Whether the program under test is the one that is shipped, or one built for debugging.
pub(crate) fn is_shipped() -> bool {
    std::env::var_os("PLIMSOLL_BIN").is_some()
}

/// The program under test.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("PLIMSOLL_BIN").map_or_else(|| env!("CARGO_BIN_EXE_plimsoll").into(), PathBuf::from)
}

/// A file of this test in Cargo's folder for such.
pub(crate) fn file(name: &str, content: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, content).expect("the test's own folder can be written to");
    path
}

/// What standard error said, and is saying.
#[derive(Default)]
struct Log {
    // Guards the text; held for a copy.
    text: Mutex<String>,
    grew: Condvar,
}

impl Log {
    /// Collects until the program closes it.
    fn collect(&self, from: impl Read) {
        for line in BufReader::new(from).split(b'\n') {
            let Ok(line) = line else { break };
            let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
            if text.len() < LOG_BYTES_MAX {
                text.push_str(&String::from_utf8_lossy(&line));
                text.push('\n');
            }
            self.grew.notify_all();
        }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A running service. Dropping it stops it, and fails the test when it does not stop as it should.
pub(crate) struct Server {
    child: Child,
    addr: SocketAddr,
    log: Arc<Log>,
    collector: Option<JoinHandle<()>>,
    over: bool,
}

impl Server {
    /// Starts `plimsoll serve` on a free port with these arguments and an empty environment.
    pub(crate) fn start<A: AsRef<OsStr>>(arguments: &[A]) -> Server {
        let mut command = Command::new(program());
        command.args(["serve", "--addr", "127.0.0.1:0"]).args(arguments);
        Server::spawn(command)
    }

    /// Starts a command that ends up as the service.
    pub(crate) fn spawn(mut command: Command) -> Server {
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program is built");
        let log = Arc::new(Log::default());
        let stderr = child.stderr.take().expect("it is a pipe");
        let collected = log.clone();
        let collector = thread::spawn(move || collected.collect(stderr));
        let stdout = child.stdout.take().expect("it is a pipe");
        let (sender, lines) = mpsc::sync_channel(1);
        // Ends with the program. The first line is all that it prints; more of it would be news to us.
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let line = lines.recv_timeout(PATIENCE);
        let addr =
            line.as_ref().ok().and_then(|line| line.strip_prefix("listening on http://")?.parse().ok());
        let Some(addr) = addr else {
            // It may be ours and hang: nothing else ends it.
            let _ = child.kill();
            let status = child.wait();
            let _ = collector.join();
            panic!(
                "it did not say where it listens but {line:?}, and ended with {status:?}:\n{}",
                log.text()
            );
        };
        Server { child, addr, log, collector: Some(collector), over: false }
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its memory as the kernel sees it.
    pub(crate) fn resident(&self) -> Resident {
        kernel::resident(self.pid()).expect("it runs")
    }

    /// How many sockets it has open.
    pub(crate) fn open_sockets(&self) -> usize {
        kernel::open_sockets(self.pid())
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, request: &Request) -> Response {
        Client::connect(self.addr).ask(request)
    }

    /// `GET` of a path.
    pub(crate) fn get(&self, path: &str) -> Response {
        self.ask(&Request::new("GET", path))
    }

    /// Publishes one event of the type `message`.
    pub(crate) fn publish(&self, topic: &str, text: &str) -> Id {
        let path = format!("/publish/{topic}");
        published(&self.ask(&Request::new("POST", &path).body(text)))
    }

    /// What `/api/v1/limits` says.
    pub(crate) fn limits(&self) -> Limits {
        Limits::ask(&mut Client::connect(self.addr))
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Waits for a line of its log in which all of `parts` stand.
    pub(crate) fn logged(&self, parts: &[&str]) -> String {
        let mut text = self.log.text.lock().unwrap_or_else(PoisonError::into_inner);
        let started = Instant::now();
        loop {
            let found = text.lines().find(|line| parts.iter().all(|part| line.contains(part)));
            if let Some(line) = found {
                return line.to_owned();
            }
            let left = PATIENCE.saturating_sub(started.elapsed());
            assert!(!left.is_zero(), "no line with {parts:?} in its log:\n{text}");
            text = self.log.grew.wait_timeout(text, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Sends it a signal.
    pub(crate) fn tell(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a child has an id");
        kill_process(pid, signal).expect("it is our own child, and we have not waited for it yet");
    }

    /// Whether it has ended, and how.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our own child")
    }

    /// Tells it to stop as a service manager does; see [`Server::stop_by`].
    pub(crate) fn stop(self) -> Stopped {
        self.stop_by(Signal::TERM)
    }

    /// Tells it to stop and waits until it has. It must end with code 0 in time, and must not have panicked.
    pub(crate) fn stop_by(self, signal: Signal) -> Stopped {
        let stopped = self.end_by(signal);
        stopped.check();
        stopped
    }

    /// Tells it to stop and waits until it has, in whatever way.
    pub(crate) fn end_by(mut self, signal: Signal) -> Stopped {
        self.end(signal)
    }

    /// Waits for the end of one that was told to stop before. It must end as by [`Server::stop_by`].
    pub(crate) fn ending(mut self) -> Stopped {
        let stopped = self.wait();
        stopped.check();
        stopped
    }

    fn end(&mut self, signal: Signal) -> Stopped {
        self.tell(signal);
        self.wait()
    }

    fn wait(&mut self) -> Stopped {
        self.over = true;
        let told = Instant::now();
        let mut status = None;
        while status.is_none() && told.elapsed() < STOP_MAX + PATIENCE {
            status = self.ended();
            if status.is_none() {
                thread::sleep(Duration::from_millis(2));
            }
        }
        let took = told.elapsed();
        if status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        // Its end closed the pipe.
        let _ = self.collector.take().map(JoinHandle::join);
        Stopped { status, took, log: self.log() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if thread::panicking() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            let _ = self.collector.take().map(JoinHandle::join);
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(40)..].join("\n");
            super::say(&format!("the last lines of the log of the program:\n{last}"));
        } else {
            self.end(Signal::TERM).check();
        }
    }
}

/// How a service ended.
pub(crate) struct Stopped {
    /// Nothing when it had to be killed.
    pub(crate) status: Option<ExitStatus>,
    /// From the signal to its end.
    pub(crate) took: Duration,
    /// All that it logged.
    pub(crate) log: String,
}

impl Stopped {
    fn check(&self) {
        let Stopped { status, took, log } = self;
        assert_eq!(status.and_then(|status| status.code()), Some(0), "after {took:?}:\n{log}");
        assert!(*took <= STOP_MAX, "it took {took:?} to stop:\n{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// What `/api/v1/limits` said at one moment.
#[derive(Debug)]
pub(crate) struct Limits(Json);

impl Limits {
    /// Asks on a connection that is open already: at the limit of connections there is no other.
    pub(crate) fn ask(client: &mut Client) -> Limits {
        let response = client.ask(&Request::new("GET", "/api/v1/limits"));
        assert_eq!(response.status, 200, "{response:?}");
        Limits(response.json())
    }

    fn row(&self, name: &str) -> &Json {
        let rows = self.0["limits"].as_array().expect("the answer is a list");
        rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no `{name}` in {self:?}"))
    }

    fn number(&self, name: &str, what: &str) -> u64 {
        self.row(name)[what].as_u64().unwrap_or_else(|| panic!("no `{what}` of `{name}` in {self:?}"))
    }

    pub(crate) fn limit(&self, name: &str) -> u64 {
        self.number(name, "limit")
    }

    pub(crate) fn used(&self, name: &str) -> u64 {
        self.number(name, "used")
    }

    pub(crate) fn peak(&self, name: &str) -> u64 {
        self.number(name, "peak")
    }

    pub(crate) fn rejected(&self, name: &str) -> u64 {
        self.number(name, "rejected")
    }

    pub(crate) fn counter(&self, name: &str, counter: &str) -> u64 {
        let value = self.row(name)["counters"][counter].as_u64();
        value.unwrap_or_else(|| panic!("no counter `{counter}` of `{name}` in {self:?}"))
    }

    /// The names of all that is shown.
    pub(crate) fn names(&self) -> Vec<&str> {
        let rows = self.0["limits"].as_array().expect("the answer is a list");
        rows.iter().filter_map(|row| row["name"].as_str()).collect()
    }
}

/// The id that a publisher was given.
pub(crate) fn published(response: &Response) -> Id {
    assert_eq!(response.status, 202, "{response:?}");
    let id = response.json()["id"].as_str().and_then(Id::parse);
    id.unwrap_or_else(|| panic!("no id in {response:?}"))
}

/// A start that must be refused: its code, and the one line that says why.
pub(crate) fn refused(mut command: Command) -> (i32, String) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program is built");
    let ended = |child: &mut Child| match child.try_wait() {
        Ok(Some(status)) => Ok(status),
        other => Err(format!("{other:?}")),
    };
    let started = Instant::now();
    while ended(&mut child).is_err() && started.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(2));
    }
    if ended(&mut child).is_err() {
        let _ = child.kill();
    }
    let output = child.wait_with_output().expect("it is our own child");
    let said = String::from_utf8(output.stderr).expect("all that is said is UTF-8");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "no data before it serves: {said}");
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(said.lines().count(), 1, "one line: {said}");
    let line = said.trim_end().strip_prefix("plimsoll: ").unwrap_or_else(|| panic!("not ours: {said}"));
    (output.status.code().unwrap_or(-1), line.to_owned())
}

/// Waits until the service has as many sockets as `before`, and nothing of a client is left.
pub(crate) fn until_open_sockets(server: &Server, before: usize) {
    until("the sockets of clients to be closed", || match server.open_sockets() {
        now if now <= before => Ok(()),
        now => Err(format!("{now} are open, {before} were before")),
    });
}

/// Waits for a number of `/api/v1/limits`, within a time of its own.
pub(crate) fn until_used(server: &Server, patience: Duration, name: &str, wanted: u64) {
    within(patience, &format!("{name} to be {wanted}"), || match server.limits().used(name) {
        used if used == wanted => Ok(()),
        used => Err(format!("{used}")),
    });
}
