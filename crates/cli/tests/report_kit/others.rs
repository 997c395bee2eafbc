//! Programs of others, each kept to the test's folder: Debian's Go and Chromium. One that is missing fails the test
//! in one line, for a check that is skipped in silence is no check.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Workshop;

/// How long one run may take, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks whether it has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

impl Workshop {
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
        self.outcome(go, "golang-go")
    }

    /// Opens the page `name` in Chromium, runs `script` in it when it has loaded, and gives what the page has become.
    /// The script is put into a copy: the page's own policy lets no script of a browser's owner in.
    pub(crate) fn browse(&self, name: &str, script: &str) -> String {
        let page = self.read(name);
        let driver =
            format!("<script>window.addEventListener('load', () => setTimeout(() => {{{script}}}, 200))");
        let driven = page.replacen("</body>", &format!("{driver}</script></body>"), 1);
        let path = self.write("driven.html", driven);
        let mut chromium = Command::new("chromium");
        chromium
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--window-size=1200,1000", "--virtual-time-budget=5000"])
            .arg(format!("--user-data-dir={}", self.path("browser").display()))
            .args(["--dump-dom", &format!("file://{path}")])
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"));
        self.outcome(chromium, "chromium")
    }

    /// Runs a program to its end, in the folder and within [`PATIENCE`]; gives its standard output.
    fn outcome(&self, mut command: Command, package: &str) -> String {
        // Into files: nobody has to read while it runs, and a helper that outlives it holds nobody up.
        let into = |name: &str| File::create(self.path(name)).expect("the folder can be written to");
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(into("stdout")).stderr(into("stderr"));
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("`{program}` could not be run ({error}): install {package}"));
        let fine = ended(&mut child);
        assert!(fine, "{command:?}: {}", self.read("stderr"));
        self.read("stdout")
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
