//! Starts of `plimsoll serve` that must be refused. Each ends at once with a code for scripts and one line for
//! people that says what is wrong and what to do; a limit that cannot be kept is found out now, not at the
//! thousandth client.

mod support;

use std::net::TcpListener;
use std::process::Command;

use support::server::{Server, file, program, refused};

/// Wrong usage, or a wrong setting wherever it was set.
const USAGE: i32 = 64;
/// It could not be done.
const COULD_NOT: i32 = 2;

fn serve(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.env_clear().arg("serve").args(arguments);
    command
}

/// Checks the code and that the line says all of `words`.
fn check(command: Command, code: i32, words: &[&str]) {
    let shown = format!("{command:?}");
    let (ended, said) = refused(command);
    assert_eq!(ended, code, "{shown}: {said}");
    for word in words {
        assert!(said.contains(word), "{shown}: `{word}` is missing: {said}");
    }
}

#[test]
fn a_port_in_use_is_named_with_a_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let addr = taken.local_addr().expect("it listens").to_string();
    let words = [&*addr, "the port is in use", "--addr 127.0.0.1:PORT", "port 0"];
    check(serve(&["--addr", &addr]), COULD_NOT, &words);
    // Two services: the second is refused, the first goes on.
    let server = Server::start::<&str>(&[]);
    check(serve(&["--addr", &server.addr().to_string()]), COULD_NOT, &["the port is in use"]);
    assert_eq!(server.get("/healthz").status, 200);
}

/// Proves T1. As long as there is no access control, nobody from outside is let in.
#[test]
fn an_address_that_others_can_reach_is_refused() {
    for addr in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7077", "[2001:db8::1]:7077"] {
        let words = [addr, "other machines", "listen on 127.0.0.1 or [::1]", "a proxy"];
        check(serve(&["--addr", addr]), COULD_NOT, &words);
    }
    // Its own name for loopback is no address; nothing is resolved.
    check(serve(&["--addr", "localhost:7077"]), USAGE, &["--addr", "localhost:7077", "127.0.0.1:7077"]);
}

/// Proves Q1. The parts multiplied are more than there is: the formula says which.
#[test]
fn a_memory_limit_under_the_fixed_cost_is_refused_with_the_formula() {
    let words =
        ["limits multiplied exceed the budget", "connections 1064 × 20KiB", "--memory-limit to at least"];
    check(serve(&["--memory-limit", "1MiB"]), USAGE, &words);
    check(
        serve(&["--memory-limit", "64MiB", "--max-connections", "100000"]),
        USAGE,
        &["lower --max-connections"],
    );
    check(serve(&["--pool-limit", "1MiB"]), USAGE, &["1MiB", "ingest.in_flight_max"]);
    check(serve(&["--hub-limit", "1MiB", "--hub-topic-limit", "2MiB"]), USAGE, &["hub.topic_limit"]);
}

#[test]
fn what_is_unknown_or_of_a_wrong_type_is_named_wherever_it_was_set() {
    for (arguments, words) in [
        (&["--memory-limt", "1GiB"][..], &["--memory-limt", "--memory-limit"][..]),
        (&["--memory-limit", "much"], &["--memory-limit", "`much`", "such as 512MiB"]),
        (&["--memory-limit", "-1"], &["--memory-limit", "-1"]),
        (&["--max-connections", "0"], &["--max-connections", "`0`", "1 to 1000000"]),
        (&["--max-connections", "1e3"], &["--max-connections", "1e3"]),
        (&["--hub-evict-after", "100"], &["--hub-evict-after", "100ms"]),
        (&["--hub-policy", "kick"], &["--hub-policy", "kick", "drop_oldest"]),
        (&["--log-level", "loud"], &["--log-level", "loud", "debug"]),
        (&["--log-format", "xml"], &["--log-format", "xml", "json"]),
        (&["--addr", "7077"], &["--addr", "7077"]),
        (&["--addr", "127.0.0.1:70777"], &["--addr", "70777"]),
        (&["extra"], &["extra"]),
    ] {
        check(serve(arguments), USAGE, words);
    }
    for (text, words) in [
        ("memory_limt = \"1GiB\"\n", &["memory_limt", "memory_limit", ":1"][..]),
        ("[hub]\nqueue_events_max = \"many\"\n", &["hub.queue_events_max", ":2"]),
        ("[[hub.topic]]\nmatch = \"a/*\"\npolcy = \"evict\"\n", &["hub.topic.polcy", "policy"]),
        ("memory_limit = 64MiB\n", &["in quotes"]),
    ] {
        let path = file("refused.toml", text);
        let path = path.to_str().expect("Cargo's folder has a name that is text");
        check(serve(&["--config", path]), USAGE, words);
    }
    check(serve(&["--config", "no/such/file.toml"]), USAGE, &["no/such/file.toml", "--config"]);
}

#[test]
fn a_wrong_environment_is_named() {
    for (name, value, words) in [
        ("PLIMSOLL_MEMORY_LIMIT", "64 pounds", &["PLIMSOLL_MEMORY_LIMIT", "64 pounds"][..]),
        ("PLIMSOLL_MAX_CONNECTIONS", "", &["PLIMSOLL_MAX_CONNECTIONS"]),
        ("PLIMSOLL_HUB_POLCY", "evict", &["PLIMSOLL_HUB_POLCY", "PLIMSOLL_HUB_POLICY"]),
    ] {
        let mut command = serve(&[]);
        command.env(name, value);
        check(command, USAGE, words);
    }
}

#[test]
fn more_connections_than_descriptors_are_refused_at_the_start() {
    // Only a shell can lower the limit before the program begins.
    let under = |descriptors: &str, arguments: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", descriptors]).arg(program()).arg("serve");
        command.args(["--addr", "127.0.0.1:0"]).args(arguments);
        command
    };
    let words = ["1064 connections need", "this process may have 500", "`ulimit -n`", "--max-connections"];
    check(under("500", &[]), COULD_NOT, &words);
    // With fewer it starts, and says where.
    let server = Server::spawn(under("500", &["--max-connections", "300"]));
    assert_eq!(server.get("/healthz").status, 200);
}
