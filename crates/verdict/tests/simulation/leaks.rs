//! Programs that leak, each in its own way.

use super::scenario::Scenario;
use super::world::{NEVER, Site, World};

pub(crate) const LEAKS: &[Scenario] = &[
    Scenario::new("steady leak", steady),
    // So few survivors look like a logarithm by chance now and then.
    Scenario::new("few samples (25 to 60)", few).hard(0.9),
    Scenario::new("1 MB/s", megabytes),
    // In a minute these are 35 to 70 samples.
    Scenario::new("300 B/s under 130 MB/s", trickle).hard(0.9),
    Scenario::new("1 % of a busy line", one_percent),
    Scenario::new("in bursts", bursts),
    Scenario::new("beginning at 25 to 40 %", late),
    // It may be falling for the whole time that is seen.
    Scenario::new("rate that varies by half", varying).hard(0.95),
    Scenario::new("load that rises 3 times", rising),
    Scenario::new("beside TTL objects of its line", beside_ttl),
    // Old ones die here; what tells are differences of large numbers.
    Scenario::new("beside long sessions of its line", beside_sessions).hard(0.92),
    Scenario::new("behind a cache that fills until 45 %", behind_cache),
    Scenario::new("Vec that doubles", doubling_vec),
    Scenario::new("Vec that grows by 1.5", vec_by_half),
    Scenario::new("buffer that grows by 1.125", vec_by_eighth),
    // One of three steps may come too early to be seen, or late.
    Scenario::new("Vec that doubles, uneven inflow", uneven_vec).hard(0.8),
    Scenario::new("hash table that only grows", hash_table),
    Scenario::new("a table in each of several shards", shards),
    // As with the sessions; and some queues grow by little more than chance lets them.
    Scenario::new("queue with a slow reader", queue).hard(0.7),
];

/// 10 MiB an hour, in a service that allocates 50 MB a second.
pub(crate) const SLOW: Scenario = Scenario::new("10 MiB/h under 50 MB/s", slow);

/// Bytes a second of [`SLOW`].
pub(crate) const SLOW_PER_S: f64 = 10.0 * 1_048_576.0 / 3600.0;

fn slow(world: &mut World) {
    let site = world.site();
    let count = world.samples_of(site, SLOW_PER_S * world.seconds);
    let at = world.arrivals(count, |_| 1.0);
    leak(world, site, &at);
    let churn = world.site();
    world.churn(churn, 50e6 * world.seconds);
}

/// Objects that nobody frees, at moments.
fn leak(world: &mut World, site: Site, at: &[f64]) {
    world.blame(site);
    for &born in at {
        world.sampled(site, born, NEVER);
    }
}

fn leaked(world: &mut World) -> f64 {
    world.magnitude(60.0, 5000.0)
}

fn steady(world: &mut World) {
    let (site, count) = (world.site(), leaked(world));
    let at = world.arrivals(count, |_| 1.0);
    leak(world, site, &at);
}

fn few(world: &mut World) {
    let (site, count) = (world.site(), world.magnitude(25.0, 60.0));
    let at = world.arrivals(count, |_| 1.0);
    leak(world, site, &at);
}

fn megabytes(world: &mut World) {
    let site = world.site();
    let count = world.samples_of(site, 1e6 * world.seconds).min(2e4);
    let at = world.arrivals(count, |_| 1.0);
    leak(world, site, &at);
}

fn trickle(world: &mut World) {
    // What is found are samples: so slow a leak needs a fine sampler, and hours need a coarse one.
    world.interval = world.interval.min(if world.seconds < 100.0 { 512.0 } else { 131_072.0 });
    let site = world.site_of(64.0);
    let bytes = if world.seconds < 100.0 { 300.0 } else { 3000.0 } * world.seconds;
    let count = world.samples_of(site, bytes);
    let at = world.arrivals(count, |_| 1.0);
    leak(world, site, &at);
    let churn = world.site();
    world.churn(churn, 130e6 * world.seconds);
}

fn one_percent(world: &mut World) {
    let (site, count) = (world.site(), leaked(world));
    let at = world.arrivals(count, |_| 1.0);
    leak(world, site, &at);
    world.churn(site, 100.0 * count * world.interval);
}

fn bursts(world: &mut World) {
    let (site, count) = (world.site(), leaked(world));
    let every = world.between(0.02, 0.06);
    let mut at = Vec::new();
    let mut x = world.between(0.0, every);
    while x < 1.0 {
        for _ in 0..world.poisson(count * every) {
            at.push(world.between(x, (x + 0.002).min(1.0)));
        }
        x += every * world.between(0.7, 1.3);
    }
    leak(world, site, &at);
}

fn late(world: &mut World) {
    let (site, count) = (world.site(), leaked(world));
    let begin = world.between(0.25, 0.4);
    let at = world.arrivals(count, |x| f64::from(u8::from(x > begin)));
    leak(world, site, &at);
}

fn varying(world: &mut World) {
    let (site, count) = (world.site(), leaked(world));
    let (period, phase) = (world.magnitude(0.08, 1.0), world.rng.f64());
    let shape = move |x: f64| 1.0 + 0.5 * (std::f64::consts::TAU * (x / period + phase)).sin();
    world.load(shape);
    let at = world.arrivals(count, shape);
    leak(world, site, &at);
}

fn rising(world: &mut World) {
    let (site, count) = (world.site(), leaked(world));
    world.load(|x| 1.0 + 2.0 * x);
    let at = world.arrivals(count, |x| 1.0 + 2.0 * x);
    leak(world, site, &at);
}

fn beside_ttl(world: &mut World) {
    let (site, count) = (world.site(), leaked(world));
    let at = world.arrivals(count, |_| 1.0);
    leak(world, site, &at);
    let ttl = world.between(0.02, 0.12);
    let more = world.between(0.5, 3.0);
    for born in world.arrivals(count * more, |_| 1.0) {
        world.sampled(site, born, born + ttl);
    }
}

fn beside_sessions(world: &mut World) {
    let (site, count) = (world.site(), world.magnitude(200.0, 5000.0));
    let at = world.arrivals(count, |_| 1.0);
    leak(world, site, &at);
    let mean = world.between(0.02, 0.1);
    for born in world.arrivals(count * 2.0, |_| 1.0) {
        let died = born + world.exponential(mean);
        world.sampled(site, born, died);
    }
}

fn behind_cache(world: &mut World) {
    steady(world);
    let (cache, count) = (world.site(), world.magnitude(100.0, 5000.0));
    for born in world.arrivals(count, |_| 1.0) {
        world.sampled(cache, born, born + 0.45);
    }
}

/// A container that an even inflow makes larger by a factor whenever it is full.
fn steps(world: &mut World, factor: f64) -> Vec<(f64, f64)> {
    let last = world.interval * world.magnitude(8.0, 2000.0);
    // How much has come at the end, and how large the block is by then.
    let mut size = last * world.between(1.0, factor);
    let mut steps = Vec::new();
    while size > 64.0 {
        // It was full when as many had come as the one before it could hold.
        let full_at = size / factor / last;
        steps.push((full_at, size));
        size /= factor;
    }
    steps.reverse();
    steps.retain(|&(x, _)| x < 1.0);
    steps
}

fn vec(world: &mut World, factor: f64) {
    let site = world.site();
    world.blame(site);
    let steps = steps(world, factor);
    world.grown(site, &steps);
}

fn doubling_vec(world: &mut World) {
    vec(world, 2.0);
}

fn vec_by_half(world: &mut World) {
    vec(world, 1.5);
}

fn vec_by_eighth(world: &mut World) {
    vec(world, 1.125);
}

fn uneven_vec(world: &mut World) {
    let site = world.site();
    world.blame(site);
    let (period, phase) = (world.magnitude(0.1, 0.7), world.rng.f64());
    let turn = std::f64::consts::TAU / period;
    let offset = (std::f64::consts::TAU * phase).sin();
    // How much has come by a moment, with a rate that varies by half.
    let came = |x: f64| x + 0.5 * ((turn * x + std::f64::consts::TAU * phase).sin() - offset) / turn;
    let mut steps = steps(world, 2.0);
    for step in &mut steps {
        let wanted = step.0 * came(1.0);
        step.0 = (0..=4000).map(|nth| f64::from(nth) / 4000.0).find(|&x| came(x) >= wanted).unwrap_or(1.0);
    }
    world.grown(site, &steps);
}

fn shards(world: &mut World) {
    let site = world.site();
    world.blame(site);
    let steps = steps(world, 2.0);
    for _ in 0..world.rng.usize(4..20) {
        // They do not fill equally fast.
        let pace = world.between(0.9, 1.1);
        let at = |step: (f64, f64)| step.0 * pace;
        for (nth, &step) in steps.iter().enumerate() {
            let died = steps.get(nth + 1).map_or(NEVER, |&next| at(next) + 1e-4);
            if at(step) < 1.0 {
                world.table(site, at(step), died, step.1);
            }
        }
    }
}

fn hash_table(world: &mut World) {
    let site = world.site();
    world.blame(site);
    let steps = steps(world, 2.0);
    for (nth, &(x, size)) in steps.iter().enumerate() {
        let died = steps.get(nth + 1).map_or(NEVER, |next| next.0 + 1e-4);
        world.table(site, x, died, size);
    }
}

fn queue(world: &mut World) {
    let (site, count) = (world.site(), world.magnitude(300.0, 8000.0));
    world.blame(site);
    // So many times as fast as it is read it is written.
    let excess = world.between(1.15, 3.0);
    for born in world.arrivals(count, |_| 1.0) {
        world.sampled(site, born, born * excess);
    }
}
