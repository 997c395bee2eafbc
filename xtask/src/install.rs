//! The first step of `test`: what the others need and a fresh machine with Rust lacks.
//!
//! Installs only where that is ours to do: Debian packages as root with apt-get, components through rustup.
//! Elsewhere it says what is missing.

use std::path::Path;
use std::process::Command;

use crate::house::House;
use crate::miri;
use crate::shell::{self, Failure};
use crate::test::Done;

/// A program that tests call.
struct Tool {
    program: &'static str,
    /// The Debian package.
    package: &'static str,
    without: Without,
}

/// What happens when a program cannot be had.
enum Without {
    /// The tests cannot run.
    Stop,
    /// They can, in this other way.
    GoOn(&'static str),
}

const TOOLS: [Tool; 12] = [
    // Programs that are recorded as they are.
    Tool { program: "redis-server", package: "redis-server", without: Without::Stop },
    Tool { program: "nginx", package: "nginx-light", without: Without::Stop },
    Tool { program: "psql", package: "postgresql", without: Without::Stop },
    Tool { program: "node", package: "nodejs", without: Without::Stop },
    Tool { program: "python3", package: "python3", without: Without::Stop },
    Tool { program: "git", package: "git", without: Without::Stop },
    // Builds those that are written for the tests.
    Tool { program: "c++", package: "g++", without: Without::Stop },
    Tool { program: "script", package: "bsdutils", without: Without::Stop },
    // Reads the profiles that are written, as its users do.
    Tool { program: "go", package: "golang-go", without: Without::Stop },
    // Shows the pictures that are drawn.
    Tool { program: "chromium", package: "chromium", without: Without::Stop },
    Tool { program: "curl", package: "curl", without: Without::Stop },
    Tool {
        program: "b3sum",
        package: "b3sum",
        without: Without::GoOn("digests are compared with the blake3 crate's own instead"),
    },
];

/// Allocators that programs are linked to, and their packages: one of them at least.
const ALLOCATORS: [(&str, &str); 3] = [
    ("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2", "libjemalloc2"),
    ("/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4", "libtcmalloc-minimal4"),
    ("/usr/lib/x86_64-linux-gnu/libmimalloc.so.2.0", "libmimalloc2.0"),
];

/// The step.
pub(crate) fn step(_: &House) -> Result<Done, Failure> {
    for tool in TOOLS {
        if on_path(tool.program) || apt_get(tool.package) {
            continue;
        }
        let Tool { program, package, without } = tool;
        let how = format!("as root: apt-get install {package}");
        match without {
            Without::Stop => {
                let what = format!("the tests call `{program}`, which is not here; install it ({how})");
                return Err(Failure { command: None, what });
            }
            Without::GoOn(instead) => eprintln!("no `{program}` here: {instead} ({how})"),
        }
    }
    let has = |verb: &str| shell::succeeds(Command::new("cargo").args([verb, "--version"]));
    if !has("fmt") || !has("clippy") {
        shell::run(Command::new("rustup").args(["component", "add", "rustfmt", "clippy"]))?;
    }
    if let Err(reason) = miri::ready() {
        eprintln!("no Miri here: {reason}");
    }
    if !ALLOCATORS.iter().any(|(library, _)| Path::new(library).is_file())
        && !ALLOCATORS.iter().any(|(_, package)| apt_get(package))
    {
        let what = "the tests link programs to another allocator, and none is here; install one (as root: apt-get \
                    install libjemalloc2)";
        return Err(Failure { command: None, what: what.to_owned() });
    }
    Ok(Done::Did)
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Installs a Debian package, if this is a Debian and we are root.
fn apt_get(package: &str) -> bool {
    if !rustix::process::geteuid().is_root() || !on_path("apt-get") {
        return false;
    }
    let apt_get = |args: &[&str]| {
        shell::succeeds(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(args))
    };
    let install = ["install", "--yes", "--no-install-recommends", package];
    // The list of packages may be missing or old; a fresh one takes longer than most installs.
    apt_get(&install) || (apt_get(&["update"]) && apt_get(&install))
}
