//! A good day: more and more visitors over the whole time, each of whom stays a little while. Memory rises with them,
//! and nothing of it is lost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use corpus_programs::{Pace, Setup, payload};

struct Visitor {
    basket: Vec<u32>,
    page: Vec<u8>,
}

#[derive(Default)]
struct Shop {
    inside: BTreeMap<(Instant, u64), Visitor>,
    sold: usize,
}

impl Shop {
    fn enter(&mut self, number: u64, stays: Duration, page: Vec<u8>) {
        let basket = (0..number as u32 % 30).collect();
        self.inside.insert((Instant::now() + stays, number), Visitor { basket, page });
    }

    fn let_out(&mut self) {
        let now = Instant::now();
        while self.inside.first_key_value().is_some_and(|((leaves, _), _)| *leaves <= now) {
            if let Some((_, visitor)) = self.inside.pop_first() {
                self.sold += visitor.basket.len() + usize::from(visitor.page.is_empty());
            }
        }
    }
}

fn main() {
    let mut setup = Setup::healthy();
    let stays = setup.part_of_length("stays_s", 0.01, 0.15);
    let per_s = setup.log_uniform("visitors_per_s_at_the_end", 50.0, 1500.0);
    let at_first = setup.uniform("part_of_them_at_first", 0.1, 0.5);
    let page_bytes = setup.whole("page_bytes", 200, 4000);
    setup.announce();
    let (mut shop, mut pace) = (Shop::default(), Pace::per_second(per_s * at_first));
    for number in 0.. {
        pace.wait();
        pace.change(per_s * (at_first + (1.0 - at_first) * setup.progress().min(1.0)));
        let page = payload(&mut setup.random, page_bytes);
        let stays = stays.mul_f64(0.5 + setup.random.f64());
        shop.enter(number, stays, page);
        shop.let_out();
        std::hint::black_box(shop.sold);
    }
}
