//! The number of players swings like day and night; each plays for a while and leaves.

use std::collections::HashMap;

use corpus_programs::{Pace, Setup};

struct Player {
    inventory: HashMap<u16, u32>,
    chat: Vec<String>,
}

fn join(random: &mut fastrand::Rng) -> Player {
    let inventory = (0..random.usize(2..30)).map(|_| (random.u16(..), random.u32(..99))).collect();
    let chat = (0..random.usize(..10)).map(|line| format!("hello number {line}")).collect();
    Player { inventory, chat }
}

fn main() {
    let mut setup = Setup::healthy();
    let most = setup.whole("players_max", 100, 5000);
    let day = setup.part_of_length("day_s", 0.1, 0.4);
    let night = setup.uniform("part_of_them_at_night", 0.05, 0.6);
    setup.announce();
    let mut players: Vec<Player> = Vec::with_capacity(most + 1);
    let mut pace = Pace::per_second(100.0);
    loop {
        pace.wait();
        let hour = setup.progress() * setup.length_s() / day.as_secs_f64();
        let day_part = 0.5 - 0.5 * (hour * std::f64::consts::TAU).cos();
        let wanted = (most as f64 * (night + (1.0 - night) * day_part)) as usize;
        // Some leave at any hour, whoever they are.
        for _ in 0..players.len().div_ceil(400) {
            let gone = players.swap_remove(setup.random.usize(..players.len()));
            std::hint::black_box(gone.inventory.len() + gone.chat.len());
        }
        while players.len() > wanted {
            players.swap_remove(setup.random.usize(..players.len()));
        }
        while players.len() < wanted {
            players.push(join(&mut setup.random));
        }
    }
}
