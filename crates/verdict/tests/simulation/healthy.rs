//! Programs that are in order, and look as if they were not.

use super::scenario::Scenario;
use super::world::{NEVER, Site, World};

pub(crate) const HEALTHY: &[Scenario] = &[
    Scenario::new("churn and startup tables", nothing),
    Scenario::new("cache that fills evenly, oldest out", cache_fifo),
    Scenario::new("cache that fills evenly, any out", cache_random),
    Scenario::new("LRU cache with hits", cache_lru),
    Scenario::new("map of all its keys, filled evenly", cache_stops),
    Scenario::new("map of all its keys, filled less and less", cache_concave),
    Scenario::new("TTL 3 to 40 %", ttl),
    Scenario::new("sessions, mean 5 to 50 %", sessions),
    Scenario::new("lifetimes with a heavy tail", pareto),
    Scenario::new("log-normal lifetimes", lognormal),
    Scenario::new("sawtooth, regular", sawtooth),
    Scenario::new("sawtooth, irregular", sawtooth_irregular),
    Scenario::new("table that is moved once, late", late_rehash),
    Scenario::new("reload of long-lived objects, late", reload),
    Scenario::new("lazy statics", statics),
    Scenario::new("interning, like a logarithm", interning),
    Scenario::new("interning of a vocabulary", vocabulary),
    Scenario::new("load rises 10 times, sessions and their table", rising),
    Scenario::new("load rises 10 times, long sessions", rising_long),
    Scenario::new("load goes up and down", oscillating),
    Scenario::new("connections until 50 %", connections),
    Scenario::new("connections until 50 %, which change", connections_turnover),
    Scenario::new("pool to its high-water mark", pool),
    Scenario::new("table that stopped growing at 20 to 50 %", table_stopped),
    Scenario::new("Vec that stopped growing at 20 to 50 %", vec_stopped),
    Scenario::new("several buffers, each grown once", buffers),
];

fn many(world: &mut World) -> f64 {
    world.magnitude(30.0, 5000.0)
}

/// Objects born evenly, each with a lifetime.
fn evenly(world: &mut World, site: Site, lifetime: impl Fn(&mut World) -> f64) {
    let count = many(world);
    for born in world.arrivals(count, |_| 1.0) {
        let died = born + lifetime(world);
        world.sampled(site, born, died);
    }
}

fn nothing(_: &mut World) {}

fn cache_fifo(world: &mut World) {
    let (site, full) = (world.site(), world.between(0.05, 0.45));
    evenly(world, site, |_| full);
}

fn cache_random(world: &mut World) {
    let (site, full, count) = (world.site(), world.between(0.05, 0.45), many(world));
    for born in world.arrivals(count, |_| 1.0) {
        let died = born.max(full) + world.exponential(full);
        world.sampled(site, born, died);
    }
}

fn cache_lru(world: &mut World) {
    let (site, full, count) = (world.site(), world.between(0.05, 0.4), many(world));
    // Some are used again and again, and the longer the better known they are.
    let used_again = world.between(0.1, 0.6);
    for born in world.arrivals(count, |x| if x < full { 1.0 } else { 1.0 - used_again * 0.7 }) {
        let mut died = born + full;
        while world.rng.f64() < used_again && died < 1.0 {
            died += full * world.rng.f64();
        }
        world.sampled(site, born, died);
    }
}

fn cache_stops(world: &mut World) {
    let (site, full, count) = (world.site(), world.between(0.05, 0.45), many(world));
    for born in world.arrivals(count, |x| f64::from(u8::from(x < full))) {
        world.sampled(site, born, NEVER);
    }
}

fn cache_concave(world: &mut World) {
    let (site, full, count) = (world.site(), world.between(0.05, 0.45), many(world));
    for born in world.arrivals(count, |x| (-3.0 * x / full).exp()) {
        world.sampled(site, born, NEVER);
    }
}

fn ttl(world: &mut World) {
    let (site, ttl) = (world.site(), world.between(0.03, 0.4));
    evenly(world, site, |world| ttl * (1.0 + 0.05 * world.rng.f64()));
}

fn sessions(world: &mut World) {
    let (site, mean) = (world.site(), world.between(0.05, 0.5));
    evenly(world, site, |world| world.exponential(mean));
}

fn pareto(world: &mut World) {
    let (site, alpha) = (world.site(), world.between(0.8, 1.6));
    let least = world.magnitude(0.001, 0.02);
    evenly(world, site, |world| least * (1.0 - world.rng.f64()).powf(-1.0 / alpha));
}

fn lognormal(world: &mut World) {
    let (site, sigma) = (world.site(), world.between(1.0, 2.0));
    let median = world.magnitude(0.005, 0.1);
    evenly(world, site, |world| median * (sigma * world.normal()).exp());
}

fn teeth(world: &mut World, jitter: f64) {
    let (site, period, count) = (world.site(), world.between(0.08, 0.45), many(world));
    let mut flushes = vec![world.between(0.0, period)];
    while flushes.last().is_some_and(|&last| last < 1.0) {
        let next = flushes[flushes.len() - 1] + period * world.between(1.0 - jitter, 1.0 + jitter);
        flushes.push(next);
    }
    for born in world.arrivals(count, |_| 1.0) {
        let flush = flushes[flushes.partition_point(|&flush| flush <= born)];
        world.sampled(site, born, flush);
    }
}

fn sawtooth(world: &mut World) {
    teeth(world, 0.0);
}

fn sawtooth_irregular(world: &mut World) {
    teeth(world, 0.6);
}

fn late_rehash(world: &mut World) {
    let (site, at) = (world.site(), world.between(0.4, 0.8));
    let size = world.interval * world.magnitude(4.0, 1000.0);
    world.table(site, 0.01, at, size);
    world.table(site, at, NEVER, 2.0 * size);
}

fn reload(world: &mut World) {
    let (site, at, count) = (world.site(), world.between(0.4, 0.8), many(world));
    for _ in 0..world.poisson(count) {
        let first = world.between(0.0, 0.01);
        world.sampled(site, first, at + 0.01);
        let born = world.between(at, at + 0.01);
        world.sampled(site, born, NEVER);
        if world.rng.bool() {
            let born = world.between(at, at + 0.01);
            world.sampled(site, born, NEVER);
        }
    }
}

fn statics(world: &mut World) {
    let site = world.site();
    for _ in 0..world.rng.usize(3..8) {
        let at = world.rng.f64();
        let at = at * at;
        for _ in 0..world.rng.usize(1..20) {
            let born = world.between(at, (at + 0.003).min(1.0));
            world.sampled(site, born, NEVER);
        }
    }
}

fn interning(world: &mut World) {
    let (site, count) = (world.site(), many(world));
    let begin = world.magnitude(0.003, 0.03);
    for born in world.arrivals(count, |x| 1.0 / (x + begin)) {
        world.sampled(site, born, NEVER);
    }
}

fn vocabulary(world: &mut World) {
    let site = world.site();
    let words = world.magnitude(200.0, 5000.0);
    let (slope, times) = (world.between(0.7, 1.1), world.between(20.0, 60.0));
    let total: f64 = (1..=words as u64).map(|rank| (rank as f64).powf(-slope)).sum();
    for rank in 1..=words as u64 {
        // The first time that a word of this rank is heard.
        let rate = (rank as f64).powf(-slope) / total * times * words;
        let born = world.exponential(1.0 / rate);
        if born < 1.0 {
            world.sampled(site, born, NEVER);
        }
    }
}

fn rising(world: &mut World) {
    let load = |x: f64| 1.0 + 9.0 * x;
    world.load(load);
    let (site, mean, count) = (world.site(), world.between(0.01, 0.15), many(world));
    for born in world.arrivals(count, load) {
        let died = born + world.exponential(mean);
        world.sampled(site, born, died);
    }
    // The table in which they are found has room for all of them: it doubles with their number.
    let table = world.site();
    let largest = world.interval * world.magnitude(4.0, 200.0);
    let phase = world.between(0.5, 1.0);
    let (mut from, mut size) = (0.002, largest * phase / 8.0);
    while from < 1.0 {
        let until = (size / (largest * phase) * 10.0 - 1.0) / 9.0;
        let until = if until > from {
            until
        } else {
            size *= 2.0;
            continue;
        };
        world.table(table, from, until + 1e-4, size);
        size *= 2.0;
        from = until;
    }
}

fn rising_long(world: &mut World) {
    let load = |x: f64| 1.0 + 9.0 * x;
    world.load(load);
    let (site, mean, count) = (world.site(), world.between(0.15, 0.4), many(world));
    for born in world.arrivals(count, load) {
        let died = born + world.exponential(mean);
        world.sampled(site, born, died);
    }
}

fn oscillating(world: &mut World) {
    let (period, phase) = (world.magnitude(0.2, 2.0), world.rng.f64());
    let load = move |x: f64| 1.0 + 0.8 * (std::f64::consts::TAU * (x / period + phase)).sin();
    world.load(load);
    let (site, mean, count) = (world.site(), world.between(0.01, 0.15), many(world));
    for born in world.arrivals(count, load) {
        let died = born + world.exponential(mean);
        world.sampled(site, born, died);
    }
}

fn connections(world: &mut World) {
    let (site, count) = (world.site(), many(world));
    for born in world.arrivals(count, |x| f64::from(u8::from(x < 0.5))) {
        world.sampled(site, born, NEVER);
    }
}

fn connections_turnover(world: &mut World) {
    let (site, count, mean) = (world.site(), many(world), world.between(0.2, 0.6));
    // At their plateau as many come as go.
    let living =
        |x: f64| if x < 0.5 { mean * (1.0 - (-x / mean).exp()) } else { mean * (1.0 - (-0.5 / mean).exp()) };
    for born in world.arrivals(count, |x| if x < 0.5 { 1.0 } else { living(x) / mean }) {
        let died = born + world.exponential(mean);
        world.sampled(site, born, died);
    }
}

fn pool(world: &mut World) {
    let (site, usual) = (world.site(), world.magnitude(30.0, 1000.0));
    let memory = world.between(0.002, 0.05);
    // How many are in use wanders about a mean; a new one is made when more are than ever were.
    let (steps, mut wander, mut made) = (2000, 0.0_f64, 0.0);
    for nth in 0..steps {
        let kept = (-1.0 / steps as f64 / memory).exp();
        wander = wander * kept + (1.0 - kept * kept).sqrt() * world.normal();
        let started = (nth as f64 / steps as f64 / 0.02).min(1.0);
        let wanted = usual * started * (1.0 + 0.2 * wander);
        while made < wanted {
            world.sampled(site, nth as f64 / steps as f64, NEVER);
            made += 1.0;
        }
    }
}

/// Sizes of a container that grew until some time.
fn stopped(world: &mut World) -> Vec<(f64, f64)> {
    let full = world.between(0.2, 0.5);
    let last = world.interval * world.magnitude(8.0, 2000.0);
    let mut steps = vec![(full, last)];
    while steps[steps.len() - 1].1 > 64.0 {
        let (x, size) = steps[steps.len() - 1];
        steps.push((x / 2.0, size / 2.0));
    }
    steps.reverse();
    steps
}

fn table_stopped(world: &mut World) {
    let site = world.site();
    let steps = stopped(world);
    for (nth, &(x, size)) in steps.iter().enumerate() {
        let died = steps.get(nth + 1).map_or(NEVER, |next| next.0 + 1e-4);
        world.table(site, x, died, size);
    }
}

fn vec_stopped(world: &mut World) {
    let site = world.site();
    let steps = stopped(world);
    world.grown(site, &steps);
}

fn buffers(world: &mut World) {
    let site = world.site();
    for _ in 0..world.rng.usize(4..20) {
        let (first, size) = (world.between(0.0, 0.5), world.interval * world.magnitude(0.5, 8.0));
        let second = world.between(first, 0.8);
        world.grown(site, &[(first, size), (second, 2.0 * size)]);
    }
}
