//! Programs of others, each kept to one folder: what they write is theirs, and is deleted at the end.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long one run may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks whether it has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// A folder for what other programs write, deleted at the end.
pub(crate) struct Workshop {
    folder: PathBuf,
}

impl Workshop {
    pub(crate) fn new(name: &str) -> Workshop {
        let folder = std::env::temp_dir().join(format!("plimsoll-leaky-{name}-{}", std::process::id()));
        for inner in ["home", "cache", "tmp", "binaries"] {
            fs::create_dir_all(folder.join(inner)).expect("the temporary folder can be written to");
        }
        Workshop { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file; gives its path as text.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> String {
        let path = self.path(name);
        fs::write(&path, content).expect("the temporary folder can be written to");
        path.to_str().expect("the temporary folder has a plain name").to_owned()
    }

    /// What `go tool pprof` says.
    pub(crate) fn pprof(&self, args: &[&str]) -> String {
        let mut go = Command::new("go");
        go.args(["tool", "pprof"])
            .args(args)
            .env("HOME", self.path("home"))
            .env("GOCACHE", self.path("cache"))
            .env("GOFLAGS", "")
            .env("PPROF_TMPDIR", self.path("tmp"))
            // Nothing of this machine gets into the answer.
            .env("PPROF_BINARY_PATH", self.path("binaries"));
        self.run(go, "golang-go")
    }

    /// Opens `url` in Chromium, which does what `action` says; gives what it prints.
    pub(crate) fn browse(&self, action: &str, url: &str) -> String {
        let mut chromium = Command::new("chromium");
        chromium
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--window-size=1200,1000"])
            .arg(format!("--user-data-dir={}", self.path("browser").display()))
            .args([action, url])
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"));
        self.run(chromium, "chromium")
    }

    /// Runs a program to its end, in the folder and within [`PATIENCE`]; gives its standard output.
    fn run(&self, mut command: Command, package: &str) -> String {
        // Into files: nobody has to read while it runs, and a helper that outlives it holds nobody up.
        let into = |name: &str| fs::File::create(self.path(name)).expect("the folder can be written to");
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(into("stdout")).stderr(into("stderr"));
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("`{program}` could not be run ({error}): install {package}"));
        let status = ended(&mut child);
        let read =
            |name: &str| String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned();
        assert!(status, "{command:?}: {}", read("stderr"));
        read("stdout")
    }
}

/// Whether it ended well, and in time.
fn ended(child: &mut Child) -> bool {
    let started = Instant::now();
    loop {
        match child.try_wait().expect("it is our own child") {
            Some(status) => return status.success(),
            None if started.elapsed() > PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
            None => std::thread::sleep(LOOK_INTERVAL),
        }
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // What cannot be deleted is in the temporary folder.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
