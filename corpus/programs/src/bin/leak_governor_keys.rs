//! A rate limiter for each address: the crate keeps a cell for every key until `retain_recent` is called, which this
//! service never does. See issue 171 of boinkor-net/governor.

use std::net::Ipv6Addr;
use std::num::NonZeroU32;

use corpus_programs::{Pace, Setup, beside};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

struct Gate {
    by_address: DefaultKeyedRateLimiter<Ipv6Addr>,
    refused: u64,
}

impl Gate {
    fn admit(&mut self, address: Ipv6Addr) -> bool {
        let admitted = self.by_address.check_key(&address).is_ok(); // leaks: Gate::admit
        self.refused += u64::from(!admitted);
        admitted
    }
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.log_uniform("leak_bytes_per_s", 3000.0, 500_000.0);
    let burst = setup.whole("burst", 2, 100);
    beside::upload_traffic(&mut setup, 20.0, 60.0);
    setup.announce();
    let burst = NonZeroU32::new(burst as u32).unwrap_or(NonZeroU32::MIN);
    let mut gate = Gate { by_address: RateLimiter::keyed(Quota::per_second(burst)), refused: 0 };
    // An entry takes 24 bytes and a byte of the table's own, and the tables are three quarters full in the mean.
    let mut pace = Pace::per_second(rate / 34.0);
    loop {
        pace.wait();
        let address = Ipv6Addr::from_bits(setup.random.u128(..));
        std::hint::black_box((gate.admit(address), gate.refused));
    }
}
