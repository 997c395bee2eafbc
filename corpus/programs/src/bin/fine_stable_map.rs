//! A table of devices: as many are added as are removed, in random order.

use std::collections::HashMap;

use corpus_programs::{Pace, Setup};

struct Device {
    firmware: String,
    counters: Box<[u32; 16]>,
}

struct Fleet {
    devices: HashMap<u64, Device>,
    ids: Vec<u64>,
}

impl Fleet {
    fn replace_any(&mut self, random: &mut fastrand::Rng) -> Option<u32> {
        let place = random.usize(..self.ids.len());
        let old = std::mem::replace(&mut self.ids[place], random.u64(..));
        let gone = self.devices.remove(&old)?;
        self.devices.insert(self.ids[place], make(random));
        Some(gone.counters[0] + gone.firmware.len() as u32)
    }
}

fn make(random: &mut fastrand::Rng) -> Device {
    Device { firmware: format!("v{}.{}", random.u8(..9), random.u16(..)), counters: Box::new([1; 16]) }
}

fn main() {
    let mut setup = Setup::healthy();
    let devices = setup.whole("devices", 200, 20_000);
    let turnovers = setup.uniform("turnovers", 3.0, 40.0);
    setup.announce();
    let mut fleet = Fleet { devices: HashMap::new(), ids: (0..devices as u64).collect() };
    for &id in &fleet.ids {
        fleet.devices.insert(id, make(&mut setup.random));
    }
    let mut pace = Pace::per_second(devices as f64 * turnovers / setup.length_s());
    loop {
        pace.wait();
        std::hint::black_box(fleet.replace_any(&mut setup.random));
    }
}
