//! A service as a user of Plimsoll would build it, with four leaks that were planted: what the profiler says of a
//! leak can be tried on one whose place is known, before it is believed of one whose place is not.
//!
//! What a service needs for it are three things, all in this file: the allocator is declared, the profiler is started,
//! and the routes of the profile are merged. Labels on the routes are a fourth, and optional.

mod args;
mod leaks;
mod work;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Query, Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};
use plimsoll::http::guard::Names;
use plimsoll::http::profiles::profiles;
use plimsoll::http::routes::finish;
use plimsoll::label::Label;
use plimsoll::{Heap, Profiler, ProfilerSettings};
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::args::Args;
use crate::leaks::Leaks;
use crate::work::Work;

/// All of the program's memory comes through it. It samples nothing until the profiler is started.
#[global_allocator]
static HEAP: Heap = Heap::system();

/// How often one request may ask for the same: a leak of 16 KiB is then 1 GiB at the most.
const TIMES_MAX: u32 = 1 << 16;

/// What the requests share.
#[derive(Default)]
struct Service {
    leaks: Leaks,
    work: Work,
}

fn main() -> ExitCode {
    match Args::parse(std::env::args().skip(1)).and_then(|args| serve(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told when standard error is closed.
            let _ = writeln!(io::stderr(), "leaky-service: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(args: &Args) -> Result<(), Box<dyn Error>> {
    let settings = ProfilerSettings { interval: args.sampling, ..ProfilerSettings::default() };
    let profiler = Profiler::start(settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(args.addr).await?;
        let addr = listener.local_addr()?;
        writeln!(io::stdout(), "listening on http://{addr}")?;
        let routes = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/work", post(work))
            .route("/leak/sessions", post(leak_sessions))
            .route("/leak/log", post(leak_log))
            .route("/leak/tasks", post(leak_tasks))
            .route("/leak/cycle", post(leak_cycle))
            .with_state(Arc::new(Service::default()))
            .merge(profiles(Some(Arc::new(profiler))))
            .route_layer(from_fn(label));
        // No page of another origin gets to see the profile.
        axum::serve(listener, finish(routes, Names::new(addr, &[]))).await?;
        Ok(())
    })
}

/// Labels whichever thread works at a request with its route, so that a sample knows for whom it was allocated.
async fn label(request: Request, next: Next) -> Response {
    let label = match request.extensions().get::<MatchedPath>() {
        Some(route) => Label::new(&format!("{} {}", request.method(), route.as_str())),
        None => Label::NONE,
    };
    label.on(next.run(request)).await
}

#[derive(Deserialize)]
struct Times {
    #[serde(default = "once")]
    times: u32,
}

fn once() -> u32 {
    1
}

impl Times {
    /// Does it as often as was asked, within [`TIMES_MAX`], and says how many bytes that were.
    fn of(&self, mut once: impl FnMut() -> usize) -> String {
        let times = self.times.min(TIMES_MAX);
        let bytes: usize = (0..times).map(|_| once()).sum();
        format!("{bytes} bytes in {times} times\n")
    }
}

async fn leak_sessions(State(service): State<Arc<Service>>, Query(times): Query<Times>) -> String {
    times.of(|| service.leaks.sessions.open_session())
}

async fn leak_log(State(service): State<Arc<Service>>, Query(times): Query<Times>) -> String {
    times.of(|| service.leaks.log.append_lines())
}

async fn leak_tasks(Query(times): Query<Times>) -> String {
    times.of(leaks::tasks::start_export)
}

async fn leak_cycle(Query(times): Query<Times>) -> String {
    times.of(leaks::cycle::link_pair)
}

async fn work(State(service): State<Arc<Service>>, Query(times): Query<Times>) -> String {
    times.of(|| service.work.order())
}
