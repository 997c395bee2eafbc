//! Images are scaled: large buffers, 100 to 130 MB/s of them, of which a handful lives at a time.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use corpus_programs::{Pace, Setup, fill};

fn scale(image: &[u8], factor: usize) -> Vec<u8> {
    image.chunks(factor).map(|chunk| chunk[0]).collect()
}

fn deliver(scaled: &Receiver<Vec<u8>>) {
    let mut delivered = 0;
    for image in scaled {
        delivered += image.len();
        std::hint::black_box(delivered);
    }
}

fn main() {
    let mut setup = Setup::healthy();
    let bytes_per_s = setup.uniform("churn_mb_per_s", 100.0, 130.0) * 1e6;
    let image_bytes = setup.whole("image_bytes", 20_000, 1_000_000);
    setup.announce();
    let (sender, scaled) = sync_channel(4);
    thread::spawn(move || deliver(&scaled));
    let mut pace = Pace::per_second(bytes_per_s / (image_bytes as f64 * 1.1));
    loop {
        pace.wait();
        let mut image = vec![0; setup.random.usize(image_bytes / 2..image_bytes * 3 / 2)];
        fill(&mut setup.random, &mut image);
        if sender.send(scale(&image, 16)).is_err() {
            return;
        }
    }
}
