//! Raw images that were cut, or in which anything at all was written over, are read or refused, and never a panic.

mod support;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use plimsoll_heap::image::{Image, ImageError};
use rustix::process::{Pid, Signal, kill_process_group};
use support::{programs, say};

/// How often something is damaged; more with `PLIMSOLL_RUNS`.
fn rounds() -> usize {
    300 * programs::runs()
}

/// What a recorder left that was killed.
fn image() -> Vec<u8> {
    use std::os::unix::process::CommandExt;
    let folder = programs::folder("damaged");
    let file: PathBuf = folder.join("raw.json");
    let program = programs::compiled("steady.c", "damaged", &[]);
    let mut command = programs::recorded(&file, "all", &program);
    let mut recorder = command.stdout(Stdio::null()).process_group(0).spawn().expect("the program is built");
    let began = Instant::now();
    let raw = loop {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let has_samples =
            Image::is_saved(&bytes) && Image::read(&bytes).is_ok_and(|image| image.samples() > 20);
        if has_samples {
            break bytes;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "no raw image was written");
        std::thread::sleep(Duration::from_millis(20));
    };
    let group = Pid::from_raw(recorder.id().cast_signed()).expect("a process has a number");
    kill_process_group(group, Signal::KILL).expect("it runs, and is ours");
    let _ = recorder.wait();
    let _ = std::fs::remove_dir_all(folder);
    raw
}

/// Looks at all that there is of an image.
fn read_all(bytes: &[u8]) -> Result<u64, ImageError> {
    let image = Image::read(bytes)?;
    let (process, note) = (image.process(), image.note());
    let _ = (process.program.len(), note.len(), image.live());
    let snapshot = image.snapshot();
    let _ = (image.peak(), snapshot.live(), image.live_samples(), image.block_addresses());
    for stack in &snapshot.stacks {
        let _ = (snapshot.addresses_of(stack).len(), stack.live_samples());
    }
    image.save(&mut std::io::sink()).map_err(ImageError::Map)?;
    Ok(image.samples())
}

#[test]
fn damaged_images_are_read_or_refused() {
    let whole = image();
    assert!(read_all(&whole).expect("it is as it was written") > 20);
    let intact = Image::read(&whole).expect("it is as it was written");
    assert!(intact.live_samples() <= intact.samples(), "{} live", intact.live_samples());
    assert!(!intact.block_addresses().is_empty(), "where samples are");
    let seed = fastrand::u64(..);
    say(&format!("seed {seed}, {} bytes", whole.len()));
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..rounds() {
        let cut = random.usize(0..whole.len());
        assert!(read_all(&whole[..cut]).is_err(), "one of {cut} bytes is not whole");
        let mut damaged = whole.clone();
        // Where the tables are is said at the beginning: there it hurts most.
        let within = if random.bool() { damaged.len().min(600) } else { damaged.len() };
        for _ in 0..random.usize(1..20) {
            let at = random.usize(0..within);
            damaged[at] = random.u8(..);
            if random.u8(0..4) == 0 {
                let end = damaged.len().min(at + 8);
                damaged[at..end].fill(0xff);
            }
        }
        let _ = read_all(&damaged);
    }
}
