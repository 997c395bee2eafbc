//! The programs: what each needs, how it is started, how it is known that it listens, and what is put on it. All of it on
//! loopback, and all data bounded: what is written is overwritten, popped or deleted within a round.

use std::ffi::OsString;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::client::Request;
use super::load::Load;
use super::room::{Room, find, free_port, said};
use crate::catalogue;

/// The Python of the system; another one may come before it in `PATH`.
const SYSTEM_PYTHON: &str = "/usr/bin/python3";
/// Who runs what root must not.
const NOBODY: &str = "nobody";

const NODE_SERVER: &[u8] = include_bytes!("scripts/server.js");
const SQLITE_LOOP: &[u8] = include_bytes!("scripts/sqlite_loop.py");
const BASH_LOOP: &[u8] = include_bytes!("scripts/loop.bash");
const GIT_LOOP: &[u8] = include_bytes!("scripts/git_loop.sh");
const CARGO_LOOP: &[u8] = include_bytes!("scripts/cargo_loop.sh");

/// A real program and what is done with it.
pub(super) struct Program {
    pub(super) name: &'static str,
    /// Programs that must be there, each with the package that has it.
    needs: &'static [(&'static str, &'static str)],
    /// What is missing if `start` returns nothing.
    pub(super) otherwise: &'static str,
    /// Makes everything ready in the room, up to the command; gets the path of `plimsoll` too.
    pub(super) start: fn(&Room, &Path) -> Result<Option<Started>, String>,
}

/// How a program is started and what is put on it.
#[derive(Debug, Default)]
pub(super) struct Started {
    pub(super) command: Vec<OsString>,
    pub(super) variables: Vec<(&'static str, String)>,
    /// Runs as this user and group.
    pub(super) owner: Option<(u32, u32)>,
    /// What it says when it listens; none if it works by itself.
    pub(super) sign: Option<&'static str>,
    /// Done once before the others.
    pub(super) first: Option<Load>,
    pub(super) loads: Vec<Load>,
}

impl Program {
    /// What is not here, with the packages that have it.
    pub(super) fn missing(&self) -> Vec<String> {
        let missing = self.needs.iter().filter(|(program, _)| find(Path::new(program)).is_none());
        missing.map(|(program, package)| format!("{program} (package {package})")).collect()
    }
}

/// All of them.
pub(super) fn all() -> Vec<Program> {
    let program = |name, needs, start| Program { name, needs, otherwise: "", start };
    vec![
        program("redis", &[("redis-server", "redis-server"), ("redis-benchmark", "redis-tools")], redis),
        program("nginx", &[("nginx", "nginx"), ("wrk", "wrk")], |room, _| nginx(room, 1)),
        program("nginx_2", &[("nginx", "nginx"), ("wrk", "wrk")], |room, _| nginx(room, 2)),
        program("python_http", &[(SYSTEM_PYTHON, "python3")], |room, _| {
            python_http(room, PathBuf::from(SYSTEM_PYTHON)).map(Some)
        }),
        Program {
            name: "python_http_other",
            needs: &[("python3", "python3")],
            otherwise: "a python3 in PATH that is not the system's",
            start: |room, _| other_python().map(|python| python_http(room, python)).transpose(),
        },
        program("node", &[("node", "nodejs")], node),
        program(
            "postgres",
            &[("postgres", "postgresql"), ("initdb", "postgresql"), ("pgbench", "postgresql")],
            postgres,
        ),
        program("sqlite", &[(SYSTEM_PYTHON, "python3")], sqlite),
        program("bash", &[("bash", "bash")], bash),
        program("git", &[("git", "git")], git),
        program("cargo", &[("cargo", "cargo")], cargo),
        program("serve", &[], serve),
    ]
}

fn words<const COUNT: usize>(words: [&str; COUNT]) -> Vec<OsString> {
    words.map(OsString::from).into()
}

fn redis(_: &Room, _: &Path) -> Result<Option<Started>, String> {
    let port = free_port()?;
    let bench = |rest: &str| Load::command(&format!("redis-benchmark -p {port} -q -c 10 -r 10000 {rest}"));
    Ok(Some(Started {
        command: words([
            "redis-server",
            "--bind",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--save",
            "",
            "--appendonly",
            "no",
        ]),
        sign: Some("Ready to accept connections"),
        // What is pushed is popped in the same round; all else lies in a fixed number of keys.
        loads: vec![
            bench("-n 20000 -d 100 -t set,get,incr,hset,zadd,sadd,mset"),
            bench("-n 20000 -d 300 -t lpush,lpop"),
        ],
        ..Started::default()
    }))
}

fn nginx(room: &Room, workers: usize) -> Result<Option<Started>, String> {
    let port = free_port()?;
    let folder = room.folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {folder}/{kind};\n"))
        .concat();
    let settings = format!(
        "daemon off;\nworker_processes {workers};\npid {folder}/nginx.pid;\nerror_log stderr notice;\n\
         events {{ worker_connections 256; }}\nhttp {{\n  access_log {folder}/access.log;\n  gzip on;\n  \
         gzip_types text/plain;\n{temporary}  server {{\n    listen 127.0.0.1:{port};\n    root {folder}/files;\n  \
         }}\n}}\n"
    );
    let settings = room.write("nginx.conf", settings.as_bytes())?;
    files(room)?;
    let wrk = |rest: &str| Load::command(&format!("wrk -t1 -c8 -d5s {rest}"));
    Ok(Some(Started {
        command: words(["nginx", "-p", &folder.to_string(), "-e", "stderr", "-c", &settings]),
        sign: Some("start worker processes"),
        // What follows does not mind being refused.
        first: Some(Load::Requests {
            port,
            requests: ["/large.bin", "/text.txt"].map(Request::get).to_vec(),
        }),
        loads: vec![
            wrk(&format!("http://127.0.0.1:{port}/large.bin")),
            wrk(&format!("-H Accept-Encoding:gzip http://127.0.0.1:{port}/text.txt")),
        ],
        ..Started::default()
    }))
}

fn python_http(room: &Room, python: PathBuf) -> Result<Started, String> {
    let port = free_port()?;
    files(room)?;
    let mut command = vec![python.into_os_string()];
    let folder = room.path("files");
    command.extend(words([
        "-u",
        "-m",
        "http.server",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
        "--directory",
        &folder,
    ]));
    let gets = ["/small.txt", "/text.txt", "/", "/large.bin"].map(Request::get).to_vec();
    let load = Load::Requests { port, requests: gets };
    Ok(Started {
        command,
        sign: Some("Serving HTTP on"),
        loads: vec![load.clone(), load],
        ..Started::default()
    })
}

/// The Python that comes first in `PATH`, if it is another one than the system's.
fn other_python() -> Option<PathBuf> {
    let real = |python: &str| {
        said(python, &["-c", "import os, sys; print(os.path.realpath(sys.executable))"]).map(PathBuf::from)
    };
    real("python3").filter(|other| Some(other) != real(SYSTEM_PYTHON).as_ref())
}

fn node(room: &Room, _: &Path) -> Result<Option<Started>, String> {
    let port = free_port()?;
    let script = room.write("server.js", NODE_SERVER)?;
    let post = |number: usize| {
        Request::of("POST", &format!("/items/{number}"), format!("{{\"item\":{number}}}").into_bytes())
    };
    let requests = (0..200).map(|number| match number % 4 {
        0 => post(number),
        _ => Request::get(&format!("/items/{number}")),
    });
    let load = Load::Requests { port, requests: requests.collect() };
    Ok(Some(Started {
        command: words(["node", &script, &port.to_string()]),
        sign: Some("listening"),
        loads: vec![load.clone(), load],
        ..Started::default()
    }))
}

fn postgres(room: &Room, _: &Path) -> Result<Option<Started>, String> {
    let port = free_port()?.to_string();
    let owner = owner()?;
    let data = room.path("data");
    if let Some((user, group)) = owner {
        // For its data, and for the series.
        chown(&room.folder, Some(user), Some(group))
            .map_err(|error| format!("{data} cannot be given away: {error}"))?;
    }
    let path = |program: &str| find(Path::new(program)).ok_or(format!("{program} is not there"));
    let mut initdb = Command::new(path("initdb")?);
    initdb
        .args(["--auth=trust", "--username=bench", "--no-sync", "--pgdata", &data])
        .current_dir(&room.folder);
    initdb.stdin(Stdio::null()).stdout(Stdio::null());
    if let Some((user, group)) = owner {
        initdb.uid(user).gid(group);
    }
    let made = initdb.output().map_err(|error| format!("initdb: {error}"))?;
    if !made.status.success() {
        return Err(format!("initdb: {}", String::from_utf8_lossy(&made.stderr).trim_end()));
    }
    let mut command = vec![path("postgres")?.into_os_string()];
    command.extend(words(["-D", &data, "-p", &port, "-k", &data, "-h", "127.0.0.1"]));
    command.extend(words(["-c", "shared_buffers=16MB", "-c", "fsync=off"]));
    let bench =
        |rest: &str| Load::command(&format!("pgbench -h 127.0.0.1 -p {port} -U bench {rest} postgres"));
    Ok(Some(Started {
        command,
        variables: vec![("HOME", room.path(""))],
        owner,
        sign: Some("ready to accept connections"),
        first: Some(bench("-i -q -s 2")),
        loads: vec![bench("-n -c 2 -t 500"), bench("-n -c 1 -T 5 -S")],
    }))
}

/// Somebody else if we are root.
fn owner() -> Result<Option<(u32, u32)>, String> {
    let id = |arguments: &[&str]| {
        said("id", arguments)
            .and_then(|id| id.parse::<u32>().ok())
            .ok_or_else(|| format!("`id {}` says nothing", arguments.join(" ")))
    };
    match id(&["-u"])? {
        0 => Ok(Some((id(&["-u", NOBODY])?, id(&["-g", NOBODY])?))),
        _ => Ok(None),
    }
}

/// A script that works by itself.
fn script(
    room: &Room,
    runner: &str,
    name: &str,
    text: &[u8],
    arguments: &[&str],
) -> Result<Option<Started>, String> {
    let script = room.write(name, text)?;
    let mut command = words([runner, &script]);
    command.extend(arguments.iter().map(OsString::from));
    Ok(Some(Started { command, ..Started::default() }))
}

fn sqlite(room: &Room, _: &Path) -> Result<Option<Started>, String> {
    script(room, SYSTEM_PYTHON, "loop.py", SQLITE_LOOP, &[&room.path("data.sqlite")])
}

fn bash(room: &Room, _: &Path) -> Result<Option<Started>, String> {
    script(room, "bash", "loop.bash", BASH_LOOP, &[])
}

fn git(room: &Room, _: &Path) -> Result<Option<Started>, String> {
    let started = script(room, "sh", "loop.sh", GIT_LOOP, &[&room.path("repository")])?;
    // Nobody's settings.
    Ok(started.map(|started| Started { variables: vec![("HOME", room.path(""))], ..started }))
}

/// Builds this runner, so all that it depends on is here already.
fn cargo(room: &Room, _: &Path) -> Result<Option<Started>, String> {
    let manifest = catalogue::folder().join("../Cargo.toml").display().to_string();
    script(room, "sh", "loop.sh", CARGO_LOOP, &[&manifest, &room.path("target")])
}

fn serve(_: &Room, plimsoll: &Path) -> Result<Option<Started>, String> {
    let port = free_port()?;
    let mut command = vec![plimsoll.as_os_str().to_owned()];
    command.extend(words(["serve", "--memory-limit", "64MiB", "--addr", &format!("127.0.0.1:{port}")]));
    let publish = |topic: usize| Request::of("POST", &format!("/publish/real/{topic}"), text_bytes(300));
    let publish = Load::Requests { port, requests: (0..200).map(|number| publish(number % 4)).collect() };
    let ingest = |path: &str, body| Request::of("PUT", path, body);
    let ingests = vec![
        ingest("/ingest/files/one", noise_bytes(1 << 20)),
        ingest("/ingest/files/two", noise_bytes(100_000)),
        ingest("/ingest/logs/one?split=lines", text_bytes(200_000)),
        Request::get("/api/v1/limits"),
    ];
    let reader = |path, bytes| Load::Reader { port, path, bytes };
    Ok(Some(Started {
        command,
        sign: Some("http://127.0.0.1:"),
        loads: vec![
            publish.clone(),
            publish,
            Load::Requests { port, requests: ingests },
            reader("/stream/real/0", 1 << 20),
            reader("/stream/real/1", 100_000),
            reader("/stream/files/one", 20_000),
        ],
        ..Started::default()
    }))
}

/// What the servers of files serve.
fn files(room: &Room) -> Result<(), String> {
    room.write("files/small.txt", &text_bytes(200))?;
    room.write("files/text.txt", &text_bytes(20_000))?;
    room.write("files/large.bin", &noise_bytes(200_000))?;
    Ok(())
}

fn text_bytes(length: usize) -> Vec<u8> {
    b"A line of text that is like the others, and like what comes after it.\n"
        .iter()
        .copied()
        .cycle()
        .take(length)
        .collect()
}

/// Bytes that look like chance and are always the same.
fn noise_bytes(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(length).collect()
}
