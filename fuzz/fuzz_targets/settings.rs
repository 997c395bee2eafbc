//! Settings from a file, the environment and flags: read, or refused in words; never a panic.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use plimsoll_gateway::plan::Plan;
use plimsoll_gateway::settings::{Given, load};

fuzz_target!(|input: (&str, &str, &str, &str)| {
    let (file, key, flag, variable) = input;
    let mut config = tempfile();
    config.1.write_all(file.as_bytes()).expect("the disk has room");
    let given = Given {
        flags: vec![(key.to_owned(), flag.into())],
        environment: vec![("PLIMSOLL_MEMORY_LIMIT".into(), variable.into())],
        config: Some(config.0.clone()),
    };
    match load(&given) {
        Ok(loaded) => drop(Plan::new(&loaded.settings)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

/// One file for each process, written anew each time.
fn tempfile() -> (std::path::PathBuf, std::fs::File) {
    let path = std::env::temp_dir().join(format!("plimsoll-fuzz-{}.toml", std::process::id()));
    let file = std::fs::File::create(&path).expect("the temporary folder can be written to");
    (path, file)
}
