//! redis-server under redis-benchmark: a server on a port of its own for each run, its CPU time from its own
//! `INFO cpu`, and its data at the end to compare.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::process::{Running, Said, shown};
use super::programs::Run;
use super::setups::Around;

/// Requests of each of the four kinds: about two seconds of CPU time together, in which a recorder that does something
/// each second does it at least twice.
pub(super) const REQUESTS: u64 = 60_000;
/// What is stored under each key.
pub(super) const VALUE_BYTES: u64 = 200;
/// Keys that are drawn from. The client cannot be given a seed; with so many more requests than keys, each key
/// comes up (all but once in 10^10 runs), and the data at the end are the same however they are drawn.
const KEYS: u64 = 1_000;
/// How long the server may take to answer, or to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the client may take.
const LOAD_MAX: Duration = Duration::from_secs(180);
const KINDS: &str = "set,get,lpush,hset";

/// Starts a server with `start`, which is given its arguments, loads it and ends it. If it is recorded, what
/// was started is the recorder.
pub(super) fn run(
    requests: u64,
    recorded: bool,
    around: &Around,
    start: impl Fn(&[OsString]) -> Result<Running, String>,
) -> Result<(Run, Said), String> {
    let port = free_port()?.to_string();
    let folder = around.scratch.as_os_str();
    let words =
        ["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no", "--loglevel", "warning"];
    let mut args: Vec<OsString> = words.map(OsString::from).into();
    // `DEBUG DIGEST` is the sum of all data.
    args.extend(["--enable-debug-command".into(), "local".into(), "--dir".into(), folder.to_owned()]);
    let mut server = start(&args)?;
    let mut link = connect(&port, &mut server)?;

    let pid = field(&link.ask(&["INFO", "server"])?, "process_id")?;
    let recorder = || if recorded { cpu_ns_of_threads(server.pid()).map(Some) } else { Ok(None) };
    let (begun_ns, begun_faults, recorder_begun) = (link.cpu_ns()?, page_faults(&pid)?, recorder()?);
    load(&port, requests, around)?;
    let (ended_ns, ended_faults, recorder_ended) = (link.cpu_ns()?, page_faults(&pid)?, recorder()?);

    let data = link.ask(&["DEBUG", "DIGEST"])?;
    let errors = field(&link.ask(&["INFO", "stats"])?, "total_error_replies")?;
    let items = ["LLEN", "HLEN"].into_iter().zip(["mylist", "myhash"]);
    let items: Result<Vec<String>, String> = items.map(|(how, what)| link.ask(&[how, what])).collect();
    // It ends without an answer.
    link.send(&["SHUTDOWN", "NOSAVE"])?;
    let said = server.wait(PATIENCE)?;
    let run = Run {
        cpu_ns: ended_ns - begun_ns,
        process_cpu_ns: ended_ns,
        page_faults: ended_faults - begun_faults,
        checksum: data,
        talk: format!("{errors} errors, items {}", items?.join(" ")),
        recorder_ns: recorder_ended.zip(recorder_begun).map(|(ended, begun)| ended - begun),
        ..Run::default()
    };
    Ok((run, said))
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, String> {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(|error| format!("no port is free: {error}"))
}

fn load(port: &str, requests: u64, around: &Around) -> Result<(), String> {
    let (requests, bytes, keys) = (requests.to_string(), VALUE_BYTES.to_string(), KEYS.to_string());
    let mut client = Command::new("redis-benchmark");
    client.args([
        "-h",
        "127.0.0.1",
        "-p",
        port,
        "-q",
        "-t",
        KINDS,
        "-n",
        &requests,
        "-d",
        &bytes,
        "-r",
        &keys,
    ]);
    let folder = around.scratch.join("client");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let said =
        Running::start(client, &folder)?.wait(LOAD_MAX).map_err(|why| format!("redis-benchmark {why}"))?;
    let done = said.output.matches("requests per second").count();
    let wanted = KINDS.split(',').count();
    if done == wanted { Ok(()) } else { Err(format!("redis-benchmark did {done} of {wanted} kinds")) }
}

/// Waits for the server to answer.
fn connect(port: &str, server: &mut Running) -> Result<Link, String> {
    let begun = Instant::now();
    loop {
        let answer = Link::open(port).and_then(|mut link| link.ask(&["PING"]).map(|_| link));
        match answer {
            Ok(link) => return Ok(link),
            Err(_) if server.is_running() && begun.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(why) => {
                let said = server.said();
                return Err(format!(
                    "the server does not answer: {why}{}",
                    shown(&(said.output + &said.errors))
                ));
            }
        }
    }
}

/// A connection to the server.
struct Link(BufReader<TcpStream>);

impl Link {
    fn open(port: &str) -> Result<Link, String> {
        let open = || {
            let stream = TcpStream::connect(format!("127.0.0.1:{port}"))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(Link(BufReader::new(stream)))
        };
        open().map_err(|error: std::io::Error| error.to_string())
    }

    fn send(&mut self, words: &[&str]) -> Result<(), String> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.0.get_mut().write_all(request.as_bytes()).map_err(|error| error.to_string())
    }

    fn ask(&mut self, words: &[&str]) -> Result<String, String> {
        self.send(words)?;
        answer(&mut self.0).map_err(|why| format!("{}: {why}", words.join(" ")))
    }

    /// CPU time of all threads of the server.
    fn cpu_ns(&mut self) -> Result<f64, String> {
        let info = self.ask(&["INFO", "cpu"])?;
        let seconds = |name: &str| {
            field(&info, name)?.parse::<f64>().map_err(|error| format!("`{name}` of the server: {error}"))
        };
        Ok((seconds("used_cpu_user")? + seconds("used_cpu_sys")?) * 1e9)
    }
}

/// Reads one answer that is a word, a number or a text.
fn answer(from: &mut impl BufRead) -> Result<String, String> {
    let mut line = String::new();
    from.read_line(&mut line).map_err(|error| error.to_string())?;
    let line = line.trim_end();
    match line.split_at_checked(1) {
        Some(("+" | ":", said)) => Ok(said.to_owned()),
        Some(("-", why)) => Err(why.to_owned()),
        Some(("$", bytes)) => {
            let bytes: usize = bytes.parse().map_err(|_| format!("`{line}` is not understood"))?;
            // The text has a line end behind it.
            let mut text = vec![0; bytes + 2];
            from.read_exact(&mut text).map_err(|error| error.to_string())?;
            text.truncate(bytes);
            String::from_utf8(text).map_err(|error| error.to_string())
        }
        _ => Err(format!("`{line}` is not understood")),
    }
}

fn field(info: &str, name: &str) -> Result<String, String> {
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.map(|value| value.trim().to_owned()).ok_or_else(|| format!("the server does not say `{name}`"))
}

/// Page faults of a process that needed no disk.
fn page_faults(pid: &str) -> Result<f64, String> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    // Fields are counted from behind the name in parentheses, which may hold anything; they are field 10.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let field = fields.split_ascii_whitespace().nth(7).and_then(|field| field.parse().ok());
    field.ok_or_else(|| format!("{path} has no field 10 that is a number"))
}

/// CPU time of the threads that a process has, in nanoseconds. `/proc/PID/stat` knows only hundredths of a
/// second, more than a recorder takes.
fn cpu_ns_of_threads(pid: u32) -> Result<f64, String> {
    let tasks = format!("/proc/{pid}/task");
    let sum = || -> Option<f64> {
        let mut sum = 0.0;
        for task in fs::read_dir(&tasks).ok()? {
            let stat = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            sum += stat.split_whitespace().next()?.parse::<f64>().ok()?;
        }
        Some(sum)
    };
    sum().ok_or_else(|| format!("{tasks}/*/schedstat could not be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let mut said = &b"+PONG\r\n:7\r\n$6\r\na:1\r\nb\r\n-ERR no\r\nwhat\r\n"[..];
        let mut next = || answer(&mut said);
        assert_eq!(next(), Ok("PONG".to_owned()));
        assert_eq!(next(), Ok("7".to_owned()));
        assert_eq!(next(), Ok("a:1\r\nb".to_owned()));
        assert_eq!(next(), Err("ERR no".to_owned()));
        assert!(next().is_err() && next().is_err());
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let info = "# CPU\r\nused_cpu_user_children:9\r\nused_cpu_user:1.5\r\n";
        assert_eq!(field(info, "used_cpu_user"), Ok("1.5".to_owned()));
        assert!(field(info, "used_cpu_sys").is_err());
    }
}
