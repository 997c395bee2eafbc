//! Builds the preload library, which the program carries within it: one file is all that a person copies to a machine.
//!
//! Cargo has no stable way to say that a program contains a library of another crate type, so Cargo is called again, for
//! that one crate, into a folder of its own.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the library can be: elsewhere the program says that it cannot record.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// What the library is made of, from the root of the workspace.
const SOURCES: [&str; 5] = ["Cargo.toml", "Cargo.lock", "crates/core", "crates/heap", "crates/preload"];
/// What a check of the outer build may have set, and must not reach the inner.
const NOT_HANDED_ON: [&str; 6] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET",
];

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../..");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    let library = out.join("preload.so");
    if env::var("TARGET")? == TARGET {
        fs::copy(build(&root, &out.join("preload"))?, &library)?;
    } else {
        fs::write(&library, [])?;
    }
    println!("cargo::rustc-env=PRELOAD_LIBRARY_FILE={}", library.display());
    Ok(())
}

/// Builds it, always as fast code: it runs inside other programs. A panic in it could not be caught by anybody.
fn build(root: &Path, into: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo
        .args(["build", "--release", "--package", "plimsoll-preload", "--target-dir"])
        .arg(into)
        .arg("--manifest-path")
        .arg(root.join("Cargo.toml"))
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_PROFILE_RELEASE_LTO", "fat")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
        .env("CARGO_PROFILE_RELEASE_STRIP", "true");
    for name in NOT_HANDED_ON {
        cargo.env_remove(name);
    }
    let status = cargo.status()?;
    if !status.success() {
        return Err(format!("the preload library was not built: {status}").into());
    }
    Ok(into.join("release/libplimsoll_preload.so"))
}
