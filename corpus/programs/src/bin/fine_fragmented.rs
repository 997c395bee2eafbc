//! Short-lived strings of all sizes between objects that stay a while: the heap gets holes, and the process is larger
//! than what lives in it.

use corpus_programs::{Pace, Setup, payload};
use fastrand::Rng;

struct Editor {
    /// The undo list: each place is renewed in turn.
    undo: Vec<Vec<u8>>,
    next: usize,
}

impl Editor {
    fn edit(&mut self, random: &mut Rng) -> usize {
        // A third of what is made for the edit is kept for undo.
        let scratch: Vec<Vec<u8>> = (0..6).map(|_| odd_size(random)).collect();
        let mut kept = 0;
        for (number, piece) in scratch.into_iter().enumerate() {
            if number.is_multiple_of(3) {
                kept += piece.len();
                let place = self.next % self.undo.len();
                self.undo[place] = piece;
                self.next += 1;
            }
        }
        kept
    }
}

fn odd_size(random: &mut Rng) -> Vec<u8> {
    let bytes = 16 << random.usize(..10);
    let bytes = random.usize(bytes..bytes * 2);
    payload(random, bytes)
}

fn main() {
    let mut setup = Setup::healthy();
    let undo = setup.whole("undo", 200, 5000);
    let turnovers = setup.uniform("turnovers", 4.0, 20.0);
    setup.announce();
    let mut editor = Editor { undo: vec![Vec::new(); undo], next: 0 };
    let mut pace = Pace::per_second(undo as f64 * turnovers / 2.0 / setup.length_s());
    loop {
        pace.wait();
        std::hint::black_box(editor.edit(&mut setup.random));
    }
}
