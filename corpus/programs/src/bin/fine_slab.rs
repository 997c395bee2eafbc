//! Things that move about a world live in a slab: a vector of slots with a list of the empty ones. Their number
//! wanders below a limit.

use corpus_programs::{Pace, Setup};

struct Thing {
    name: String,
    path: Vec<(f32, f32)>,
}

enum Slot {
    Empty { next: usize },
    Full(Thing),
}

struct Slab {
    slots: Vec<Slot>,
    empty: usize,
    full: usize,
}

impl Slab {
    fn insert(&mut self, thing: Thing) -> usize {
        self.full += 1;
        let place = self.empty;
        match self.slots.get(place) {
            Some(&Slot::Empty { next }) => {
                self.empty = next;
                self.slots[place] = Slot::Full(thing);
            }
            _ => {
                self.slots.push(Slot::Full(thing));
                self.empty = self.slots.len();
            }
        }
        place
    }

    fn remove(&mut self, place: usize) -> Option<Thing> {
        let slot = std::mem::replace(self.slots.get_mut(place)?, Slot::Empty { next: self.empty });
        let Slot::Full(thing) = slot else {
            self.slots[place] = slot;
            return None;
        };
        self.empty = place;
        self.full -= 1;
        Some(thing)
    }
}

fn main() {
    let mut setup = Setup::healthy();
    let most = setup.whole("things_max", 100, 5000);
    let steps = setup.whole("steps", 4, 200);
    let turnovers = setup.uniform("turnovers", 4.0, 30.0);
    setup.announce();
    let mut slab = Slab { slots: Vec::new(), empty: 0, full: 0 };
    let mut pace = Pace::per_second(2.0 * most as f64 * turnovers / setup.length_s());
    loop {
        pace.wait();
        let place = setup.random.usize(..most);
        if let Some(thing) = slab.remove(place) {
            std::hint::black_box(thing.name.len() + thing.path.len());
        } else if slab.full < most {
            let path = (0..steps).map(|step| (step as f32, setup.random.f32())).collect();
            slab.insert(Thing { name: format!("thing-{place}"), path });
        }
    }
}
