//! Servers answer under `plimsoll record` as they do without, and nearly all their stacks reach the first function.
//!
//! Each is real, from the distribution's package, and does real work on loopback.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use support::{programs, say};

const SAMPLES: [&str; 2] = ["512KiB", "all"];
/// Of the stacks of a program as distributions build it.
const COMPLETE_MIN: f64 = 0.95;
const PATIENCE: Duration = Duration::from_secs(60);

/// A port of loopback that nobody has at this moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    listener.local_addr().expect("it is bound").port()
}

/// Connects as soon as somebody listens.
fn connect(port: u16) -> TcpStream {
    let began = Instant::now();
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => return stream,
            Err(error) if began.elapsed() > PATIENCE => panic!("nobody listens on {port}: {error}"),
            // A port has no event for this.
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Starts a server, plainly or recorded.
fn start(profile: Option<(&Path, &str)>, program: &Path, arguments: &[&str]) -> Child {
    let mut command = match profile {
        Some((profile, sample)) => programs::recorded(profile, sample, program),
        None => Command::new(program),
    };
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

/// Compares what a server answers without and with each way of sampling, and looks at the stacks of the last.
fn answers_as_without(name: &str, serve: impl Fn(Option<(&Path, &str)>) -> (Option<i32>, String)) {
    let expected = serve(None);
    let folder = programs::folder(name);
    for sample in SAMPLES {
        for nth in 0..programs::runs() {
            let profile = folder.join(format!("{nth}.json"));
            let answered = serve(Some((&profile, sample)));
            assert!(
                answered == expected,
                "{name} differs at {sample}, run {nth}: {answered:?} for {expected:?}"
            );
        }
    }
    let (complete, samples) = complete(&folder);
    say(&format!(
        "{name}: {} runs at {SAMPLES:?}, all as without; {:.2} % of {samples} stacks complete",
        programs::runs(),
        complete * 100.0
    ));
    assert!(complete >= COMPLETE_MIN, "{complete} of {name}'s stacks are complete");
    let _ = std::fs::remove_dir_all(folder);
}

/// Which part of all samples in a folder's profiles has a stack that reaches its first function.
fn complete(folder: &Path) -> (f64, u64) {
    let (mut samples, mut cut) = (0, 0);
    for file in std::fs::read_dir(folder).expect("it is ours").flatten() {
        let bytes = std::fs::read(file.path()).expect("it is ours");
        let profile =
            plimsoll_verdict::read(&bytes).unwrap_or_else(|error| panic!("{:?}: {error}", file.path()));
        let status = profile.header().status.clone().expect("what is recorded says how it went");
        samples += status.samples;
        cut += status.truncated;
    }
    assert!(samples > 100, "only {samples} samples");
    (1.0 - cut as f64 / samples as f64, samples)
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process has a number");
    kill_process(pid, signal).expect("it runs, and is ours");
}

fn ended(mut server: Child) -> Option<i32> {
    programs::wait(&mut server, PATIENCE).expect("it was told to end").code()
}

/// Linked to jemalloc, as Debian builds it.
#[test]
fn redis() {
    let program = programs::on_path("redis-server");
    answers_as_without("redis", |profile| {
        let (port, folder) = (free_port().to_string(), programs::folder("redis-data"));
        let folder = folder.to_string_lossy().into_owned();
        let arguments = ["--port", &port, "--bind", "127.0.0.1", "--dir", &folder, "--save", ""];
        let server = start(profile, &program, &arguments);
        let mut client = connect(port.parse().expect("a number"));
        let mut requests = String::new();
        for n in 0..3000 {
            requests +=
                &format!("SET key:{n} {}\r\nHSET hash:{} field:{n} {n}\r\n", "v".repeat(n % 900), n % 50);
            requests += &format!("LPUSH list:{} {n}\r\nGET key:{}\r\n", n % 20, n / 2);
        }
        requests += "BGSAVE\r\nLRANGE list:3 0 -1\r\nHGETALL hash:7\r\nDBSIZE\r\nECHO the-end\r\n";
        let reader = client.try_clone().expect("a socket can be shared");
        let replies = std::thread::spawn(move || until(reader, "the-end\r\n"));
        client.write_all(requests.as_bytes()).expect("it reads");
        let replies = replies.join().expect("it does not panic");
        // The child that saves is to end by itself.
        let began = Instant::now();
        while !info(&mut client).contains("rdb_bgsave_in_progress:0") {
            assert!(began.elapsed() < PATIENCE, "the child that saves does not end");
        }
        client.write_all(b"SHUTDOWN NOSAVE\r\n").expect("it reads");
        let code = ended(server);
        let _ = std::fs::remove_dir_all(folder);
        (code, replies)
    });
}

fn info(client: &mut TcpStream) -> String {
    client.write_all(b"INFO persistence\r\nECHO that-is-all\r\n").expect("it reads");
    until(client.try_clone().expect("a socket can be shared"), "that-is-all\r\n")
}

/// What comes until a text has come.
fn until(mut stream: TcpStream, end: &str) -> String {
    stream.set_read_timeout(Some(PATIENCE)).expect("a time is valid");
    let (mut all, mut buffer) = (Vec::new(), [0; 1 << 16]);
    while !all.ends_with(end.as_bytes()) {
        let bytes = stream.read(&mut buffer).expect("it answers");
        assert!(bytes > 0, "it closed the connection");
        all.extend_from_slice(&buffer[..bytes]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// With workers that are forked, and run as another user if the test is root's.
#[test]
fn nginx() {
    let program = programs::on_path("nginx");
    answers_as_without("nginx", |profile| {
        let (port, folder) = (free_port(), programs::folder("nginx-data"));
        let site = folder.join("site");
        std::fs::create_dir_all(&site).expect("it is ours");
        (0..40).for_each(|n| {
            std::fs::write(site.join(format!("{n}.txt")), format!("page {n} ").repeat(n * 50 + 1))
                .expect("ours");
        });
        let configuration = configuration(&folder, port);
        let server = start(profile, &program, &["-c", &configuration.to_string_lossy()]);
        let mut answers = String::new();
        for n in 0..300 {
            let mut client = connect(port);
            let request = format!("GET /{}.txt HTTP/1.0\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n", n % 45);
            client.write_all(request.as_bytes()).expect("it reads");
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).expect("it answers");
            let head = String::from_utf8_lossy(&answer).split("\r\n").next().unwrap_or_default().to_owned();
            answers += &format!("{head} {}\n", answer.len());
        }
        // The recorder hands it on.
        signal(server.id(), Signal::TERM);
        let code = ended(server);
        let _ = std::fs::remove_dir_all(folder);
        (code, answers)
    });
}

fn configuration(folder: &Path, port: u16) -> PathBuf {
    let folder_text = folder.display();
    let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let places: String =
        places.iter().map(|place| format!("{place}_temp_path {folder_text}/{place};\n")).collect();
    let text = format!(
        "daemon off; worker_processes 2; pid {folder_text}/pid; error_log {folder_text}/errors;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log {folder_text}/log; gzip on; gzip_min_length 1; gzip_types text/plain; {places}\n\
         types {{ text/plain txt; }} server {{ listen 127.0.0.1:{port}; root {folder_text}/site; }} }}\n"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, text).expect("it is ours");
    // The workers are somebody else, and read it too.
    let tests = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for place in folder.ancestors().take_while(|place| place.starts_with(tests)) {
        // Those above may be somebody else's, and open.
        let _ = std::fs::set_permissions(place, std::fs::Permissions::from_mode(0o755));
    }
    file
}

/// With a process for each connection, all of them forked, and run as another user if the test is root's.
#[test]
fn postgres() {
    let Some(bin) = postgres_programs() else {
        panic!("no postgres is here; `cargo xtask test` installs it where it can");
    };
    let as_user = rustix::process::geteuid().is_root();
    answers_as_without("postgres", |profile| {
        // Below /tmp, where the user that it runs as may go; a socket's path has no more than 107 bytes.
        let data = std::env::temp_dir().join(format!("plimsoll-postgres-{}", std::process::id()));
        let data_text = data.to_string_lossy().into_owned();
        let _ = std::fs::remove_dir_all(&data);
        std::fs::create_dir(&data).expect("there is room for temporary files");
        if as_user {
            let given = Command::new("chown").args(["postgres", &data_text]).status();
            assert!(given.expect("chown is there").success());
        }
        let user = |program: &str| {
            let mut words = vec![bin.join(program).to_string_lossy().into_owned()];
            if as_user {
                words.splice(0..0, ["runuser", "-u", "postgres", "--"].map(str::to_owned));
            }
            words
        };
        let initdb = user("initdb");
        let made = Command::new(&initdb[0])
            .args(&initdb[1..])
            .args(["-D", &data_text, "-A", "trust", "-N"])
            .output();
        assert!(made.as_ref().is_ok_and(|output| output.status.success()), "{made:?}");
        let words = user("postgres");
        let port = free_port().to_string();
        let listen = ["-D", &data_text, "-p", &port, "-k", &data_text, "-c", "listen_addresses="];
        let arguments: Vec<&str> = words[1..].iter().map(String::as_str).chain(listen).collect();
        let server = start(profile, &programs::on_path(&words[0]), &arguments);
        let ask = |query: &str| {
            let connection = ["-h", &data_text, "-p", &port, "-U", "postgres", "-AtqX", "-c", query];
            Command::new(bin.join("psql")).args(connection).output().expect("psql is there")
        };
        let began = Instant::now();
        while !ask("select 1").status.success() {
            assert!(began.elapsed() < PATIENCE, "postgres does not answer");
        }
        let answers: String = (0..3)
            .map(|n| {
                let output = ask(&format!(
                    "create table t{n} as select i, md5(i::text) h from generate_series(1, 5000) i; \
                     create index on t{n}(h); select count(*), max(h) from t{n} a join t{n} b using (h); \
                     select length(json_agg(i)::text) from t{n}"
                ));
                assert!(output.status.success(), "{output:?}");
                String::from_utf8_lossy(&output.stdout).into_owned()
            })
            .collect();
        let pid = std::fs::read_to_string(data.join("postmaster.pid")).expect("it runs");
        let pid = pid.lines().next().and_then(|pid| pid.parse().ok()).expect("its first line is a number");
        signal(pid, Signal::INT);
        let code = ended(server);
        let _ = std::fs::remove_dir_all(&data);
        (code, answers)
    });
}

/// Where the programs of the newest version are.
fn postgres_programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    versions
        .flatten()
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("postgres").is_file())
        .max()
}
