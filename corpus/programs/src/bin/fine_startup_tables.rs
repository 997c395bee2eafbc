//! Tables are read at the start; then they are only looked at, and answers are small.

use std::collections::BTreeMap;

use corpus_programs::{Pace, Setup};
use fastrand::Rng;

struct Place {
    name: String,
    aliases: Vec<String>,
}

fn load(random: &mut Rng, places: usize) -> BTreeMap<u32, Place> {
    let place = |code: u32, random: &mut Rng| {
        let aliases = (0..random.usize(..6)).map(|alias| format!("{code}/{alias}")).collect();
        Place { name: format!("place-{code:08}"), aliases }
    };
    (0..places as u32).map(|code| (code, place(code, random))).collect()
}

fn describe(places: &BTreeMap<u32, Place>, code: u32) -> Option<String> {
    let place = places.get(&code)?;
    Some(format!("{} ({})", place.name, place.aliases.join(", ")))
}

fn main() {
    let mut setup = Setup::healthy();
    let places = setup.whole("places", 5000, 200_000);
    let per_s = setup.log_uniform("requests_per_s", 1.0, 500.0);
    setup.announce();
    let table = load(&mut setup.random, places);
    let mut pace = Pace::per_second(per_s);
    loop {
        pace.wait();
        std::hint::black_box(describe(&table, setup.random.u32(..places as u32)));
    }
}
