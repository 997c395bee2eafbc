//! The one table of settings: every limit, its default, its range, its meaning and what it costs.
//!
//! To add a setting, add it here and nowhere else; `docs/limits.md` is made from this file and a test
//! compares the two. Costs are worst cases, written as products of settings. What is charged to the
//! budget stands inside `memory_limit`; what is not says so.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use plimsoll_core::Bytes;

use crate::settings::declare::{Entry, Facts, ends, read_within, settings};
use crate::settings::topics::TopicRules;
use crate::settings::value::Value;
use crate::settings::words::{LogFormat, LogLevel, Policy, PoolMode, Sampling, Tracking};

/// The largest memory that a limit may speak of: more than any machine has, small enough to multiply.
const MEMORY_MAX: Bytes = Bytes::gib(16 << 10);

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

const fn s(count: u64) -> Duration {
    Duration::from_secs(count)
}

const fn h(count: u64) -> Duration {
    Duration::from_secs(count * 3600)
}

settings! {
    /// Everything that can be set about the service.
    Settings {
        /// The address that the service listens on; port 0 takes any free port. Loopback by default, so
        /// that nothing outside the machine reaches it.
        addr: SocketAddr {
            default: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7077);
            cost: "none",
        }
        /// What the service may hold, all pools, rings, queues and connections together.
        memory_limit: Bytes {
            default: Bytes::mib(512), range: Bytes::new(1)..=MEMORY_MAX;
            cost: "memory_limit, besides a fixed cost of about 40MiB for code, threads and tables",
        }
        /// Streams that may be open at the same time; the next one gets 503 with `Retry-After`.
        max_connections: usize {
            default: 1000, range: 1..=1_000_000;
            unit: "streams", cost: "(max_connections + http.api_connections) × 20KiB",
        }
        /// How much is logged, to standard error.
        log_level: LogLevel { default: LogLevel::Info; cost: "none" }
        /// Log lines for people, or one JSON object a line.
        log_format: LogFormat { default: LogFormat::Text; cost: "none" }
    }

    /// The buffers in which bodies are received, cut and hashed.
    pool: PoolSettings {
        /// All buffers together, idle ones included.
        limit: Option<Bytes> {
            default: None, range: Some(Bytes::new(1))..=Some(MEMORY_MAX);
            share_of: "memory_limit", share: "1/4 of memory_limit, at most 100MiB", cost: "pool.limit",
        }
        /// The largest single buffer, and never more than pool.limit; a larger request fails at once.
        buffer_limit: Bytes {
            default: Bytes::mib(10), range: Bytes::kib(512)..=Bytes::gib(1024);
            cost: "inside pool.limit",
        }
        /// Whether free buffers are reused or given back to the allocator at once.
        mode: PoolMode { default: PoolMode::Pooled; cost: "inside pool.limit" }
        /// What is kept about each live buffer: nothing, its place and now and then a stack, or a stack for
        /// every lease.
        tracking: Tracking {
            default: Tracking::Cheap;
            cost: "cheap: at most 128B for each live buffer; full: a stack for each; in the fixed cost",
        }
        /// How long a request for a buffer waits when the pool is full.
        acquire_timeout: Duration {
            default: s(30), range: s(0)..=h(1);
            zero: "try once and do not wait", cost: "none",
        }
        /// A buffer held for longer, by an owner that is gone or silent, is reported as leaked and reclaimed.
        leak_timeout: Duration {
            default: s(300), range: s(1)..=h(8760);
            cost: "none; leaked buffers stay inside pool.limit until they are found",
        }
        /// Time between two scans for leaked buffers.
        scan_interval: Duration { default: s(60), range: ms(10)..=h(24); cost: "none" }
        /// Requests that may wait for a buffer at the same time; the next one fails at once.
        waiters_max: usize {
            default: 1024, range: 0..=1_000_000;
            unit: "requests", zero: "nobody waits, a full pool refuses",
            cost: "pool.waiters_max × one parked request, in the fixed cost",
        }
    }

    /// Bodies that are streamed through `/ingest`.
    ingest: IngestSettings {
        /// The longest body; a longer one gets 413. It is streamed, never held.
        body_limit: Bytes { default: Bytes::gib(64), range: Bytes::new(1)..=Bytes::gib(1 << 20); cost: "none" }
        /// Chunks of one body that may be in work at the same time; the body is not read further meanwhile.
        in_flight_max: usize {
            default: 10, range: 1..=10_000;
            unit: "chunks", cost: "for each ingest 512KiB + ingest.in_flight_max × 256KiB, inside pool.limit",
        }
        /// How long an ingest waits for a buffer before it gives up with the pool's numbers.
        acquire_timeout: Duration {
            default: s(10), range: s(0)..=h(1);
            zero: "try once and do not wait", cost: "none",
        }
        /// A body of which no byte comes for this long is ended with 408.
        body_idle_timeout: Duration { default: s(60), range: ms(100)..=h(24); cost: "none" }
    }

    /// Single events that are sent to `/publish`.
    publish: PublishSettings {
        /// The longest body; a longer one gets 413. It is held whole until it is an event.
        body_limit: Bytes {
            default: Bytes::kib(256), range: Bytes::new(1)..=Bytes::mib(64);
            cost: "while it comes twice what came, inside pool.limit; then an event of up to 7 × publish.body_limit (each line gets `data: `), inside hub.limit",
        }
        /// How long the whole body may take; a slower one is ended with 408.
        body_timeout: Duration { default: s(10), range: ms(100)..=h(1); cost: "none" }
    }

    /// The topics, their rings of events, and their readers.
    hub: HubSettings {
        /// The rings of all topics together.
        limit: Option<Bytes> {
            default: None, range: Some(Bytes::new(1))..=Some(MEMORY_MAX);
            share_of: "memory_limit", share: "3/8 of memory_limit, less where the other parts leave less",
            cost: "hub.limit",
        }
        /// The ring of one topic; its oldest events make room for new ones.
        topic_limit: Option<Bytes> {
            default: None, range: Some(Bytes::new(1))..=Some(MEMORY_MAX);
            share_of: "hub.limit", share: "2/3 of hub.limit",
            cost: "hub.topics_max × hub.topic_limit, never more than hub.limit",
        }
        /// Events that a reader may be behind before the policy acts.
        queue_events_max: usize {
            default: 100, range: 1..=1_000_000;
            unit: "events", cost: "none of its own: a reader is a place in its topic's ring",
        }
        /// Bytes of events that a reader may be behind before the policy acts.
        queue_bytes_max: Bytes {
            default: Bytes::mib(1), range: Bytes::new(1)..=MEMORY_MAX;
            cost: "none of its own: a reader is a place in its topic's ring",
        }
        /// What happens to a reader that is too far behind: it is sent away, or it misses events and is
        /// told how many.
        policy: Policy { default: Policy::Evict; cost: "none" }
        /// How long a reader that is too far behind has to make room before it is evicted.
        evict_after: Duration {
            default: ms(100), range: s(0)..=s(60);
            zero: "it is evicted at once", cost: "none",
        }
        /// Topics that may exist at the same time; the next one gets 429.
        topics_max: usize {
            default: 1000, range: 1..=1_000_000;
            unit: "topics", cost: "hub.topics_max × one topic's name and numbers, inside hub.limit",
        }
        /// A topic that nobody reads or writes for this long is removed with its ring.
        topic_idle: Duration { default: h(1), range: s(1)..=h(8760); cost: "none" }
        /// A reader to whom nothing was sent for this long gets a comment line, so that both ends know of
        /// each other.
        heartbeat: Duration { default: s(15), range: ms(100)..=h(1); cost: "none" }
        /// Tables `[[hub.topic]]`, each with `match` (a topic, or a prefix that ends in `/*`) and any of
        /// `queue_events_max`, `queue_bytes_max` and `policy` for the topics it matches; the first that
        /// matches counts.
        topic: TopicRules {
            default: TopicRules::default();
            unit: "rules", file_only: true, cost: "at most 100 rules × 1KiB, in the fixed cost",
        }
    }

    /// Connections and their sockets.
    http: HttpSettings {
        /// Connections that are kept for the API and for health besides the streams.
        api_connections: usize {
            default: 64, range: 1..=100_000;
            unit: "connections", cost: "(max_connections + http.api_connections) × 20KiB",
        }
        /// The kernel's send buffer of each connection.
        send_buffer: Bytes {
            default: Bytes::kib(64), range: Bytes::kib(4)..=Bytes::mib(64);
            cost: "kernel memory, not in memory_limit: \
                   (max_connections + http.api_connections) × 2 × http.send_buffer",
        }
        /// The kernel's receive buffer of each connection: how much of a body may wait in it while the service does not read.
        receive_buffer: Bytes {
            default: Bytes::kib(256), range: Bytes::kib(4)..=Bytes::mib(64);
            cost: "kernel memory, not in memory_limit: (max_connections + http.api_connections) × 2 × http.receive_buffer",
        }
        /// A connection whose peer does not acknowledge what was sent for this long is closed by the kernel
        /// (`TCP_USER_TIMEOUT`).
        user_timeout: Duration { default: s(10), range: ms(100)..=h(1); cost: "none" }
        /// How long a client may take to send the head of a request.
        header_timeout: Duration { default: s(10), range: ms(100)..=h(1); cost: "none" }
        /// How long open requests have to end after a stop was asked for.
        drain_timeout: Duration {
            default: s(8), range: s(0)..=h(1);
            zero: "they are closed at once", cost: "none",
        }
        /// Names in `Host` that are answered besides the loopback ones and the address itself, on any port.
        allowed_hosts: Vec<String> {
            default: Vec::new();
            unit: "host names", cost: "at most 100 × 253B, in the fixed cost",
        }
    }

    /// The watch over everything that has a limit.
    monitor: MonitorSettings {
        /// The share of a limit from which on a warning is raised; under monitor.critical_percent.
        warning_percent: u8 { default: 80, range: 1..=100; unit: "percent", cost: "none" }
        /// The share of a limit from which on it is critical.
        critical_percent: u8 { default: 95, range: 1..=100; unit: "percent", cost: "none" }
        /// Time between two checks.
        interval: Duration { default: s(10), range: ms(10)..=h(24); cost: "none" }
    }

    /// What is sampled of the service's own heap, for `/debug/pprof/heap` and `/debug/flamegraph.svg`.
    heap: HeapSettings {
        /// How densely allocations are sampled.
        sampling: Sampling {
            default: Sampling::Adaptive;
            cost: "adaptive: at most 0.5 % of the CPU time; every: up to 3 times the CPU time; memory: about 600 bytes \
                   for each call path that allocates and 30 for each sample that lives, within the fixed cost",
        }
        /// With `heap.sampling = "fixed"`: one sample in this much, on average.
        interval: Bytes { default: Bytes::kib(512), range: Bytes::new(1)..=Bytes::gib(1); cost: "see heap.sampling" }
        /// Different call paths that are told apart; further ones are counted together.
        stacks_max: usize { default: 16384, range: 16..=1_000_000; unit: "stacks", cost: "heap.stacks_max × 700B at most" }
    }

    /// What is decided about the service's own heap: which line leaks, at `/api/v1/leaks` and in the log.
    verdict: VerdictSettings {
        /// Time between two readings of the heap, once the service has run for an hour; they are closer before.
        interval: Duration {
            default: s(60), range: ms(100)..=h(24);
            cost: "at most 4MiB in the fixed cost; while a reading lasts 500B for each stack of heap.stacks_max",
        }
        /// In this time of its life nothing is blamed: a service builds its caches and pools.
        warm_up: Duration { default: s(300), range: s(0)..=h(8760); zero: "from the start", cost: "none" }
        /// A line that grew by more is reported beside the verdict, as the rule that most people use has it.
        threshold: Bytes { default: Bytes::mib(10), range: Bytes::new(1)..=Bytes::gib(1 << 20); cost: "none" }
    }
}
