//! The service's own heap, for the tools that people have: `go tool pprof`, a browser, an eye.
//!
//! Naming addresses reads debug information, which takes a moment and some memory: it is done one request at a time,
//! beside the executor, and what was named is kept in a cache with a limit. A second request meanwhile is told to come
//! again.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use plimsoll_core::heap::SnapshotSource;
use plimsoll_symbols::{Limits, Symbolizer};
use plimsoll_verdict::flamegraph::FlamegraphOptions;
use plimsoll_verdict::text::TextOptions;
use plimsoll_verdict::{Metric, Profile, WriteError, flamegraph, json, pprof, text};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::problem::{Kind, Problem};

/// What the routes need: the profiler, if one runs, and the names so far.
struct Profiles {
    source: Option<Arc<dyn SnapshotSource>>,
    /// Who holds it has the turn.
    symbolizer: Arc<Mutex<Symbolizer>>,
}

/// `GET /debug/pprof/heap` (gzipped profile.proto; `?debug=1` for text, `?format=json` for our own form, which has the ages
/// that a verdict needs) and `GET /debug/flamegraph.svg`
/// (`?metric=`). Without a source they say that nothing is sampled.
pub fn profiles<S: Clone + Send + Sync + 'static>(source: Option<Arc<dyn SnapshotSource>>) -> Router<S> {
    let profiles = Profiles { source, symbolizer: Arc::new(Mutex::new(Symbolizer::new(Limits::default()))) };
    Router::new()
        .route("/debug/pprof/heap", get(heap))
        .route("/debug/flamegraph.svg", get(flames))
        .with_state(Arc::new(profiles))
}

/// As the Go runtime has it.
#[derive(Deserialize)]
struct HeapQuery {
    #[serde(default)]
    debug: u8,
    /// Unlike `debug` this is ours. Whoever does not know it answers with pprof.
    #[serde(default)]
    format: Format,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Pprof,
    Json,
}

async fn heap(
    State(profiles): State<Arc<Profiles>>,
    query: Result<Query<HeapQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| {
        Problem::new(
            Kind::InvalidRequest,
            format!("{}; `debug` is 0 for pprof or 1 for text, `format` is pprof or json", error.body_text()),
        )
    })?;
    if query.debug > 0 {
        let body = profiles
            .write(|profile, out| text::write(profile, &TextOptions::default(), out).map_err(WriteError::Io))
            .await?;
        return Ok(answer("text/plain; charset=utf-8", body));
    }
    if matches!(query.format, Format::Json) {
        let body = profiles.write(|profile, out| json::write(profile, out).map_err(WriteError::Io)).await?;
        return Ok(answer("application/json", body));
    }
    let body = profiles.write(|profile, out| pprof::write(profile, out).map_err(WriteError::Io)).await?;
    let mut response = answer("application/octet-stream", body);
    let name = HeaderValue::from_static("attachment; filename=\"heap.pb.gz\"");
    response.headers_mut().insert(CONTENT_DISPOSITION, name);
    Ok(response)
}

#[derive(Deserialize)]
struct FlamesQuery {
    metric: Option<String>,
}

async fn flames(
    State(profiles): State<Arc<Profiles>>,
    query: Result<Query<FlamesQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let wrong = |what: String| {
        let names: Vec<_> = Metric::ALL.iter().map(|metric| metric.name()).collect();
        Problem::new(Kind::InvalidRequest, format!("{what}; there are {}", names.join(", ")))
    };
    let Query(query) = query.map_err(|error| wrong(error.body_text()))?;
    let metric = match query.metric.as_deref() {
        None => Metric::LiveBytes,
        Some(name) => {
            let unknown =
                || wrong(format!("there is no metric {:?}", name.chars().take(100).collect::<String>()));
            Metric::of_name(name).ok_or_else(unknown)?
        }
    };
    let title = format!("Heap of this service: {}", metric.name());
    let options = FlamegraphOptions { metric, title };
    let body = profiles.write(move |profile, out| flamegraph::write(profile, &options, out)).await?;
    Ok(answer("image/svg+xml", body))
}

impl Profiles {
    /// Takes a snapshot, names it, and writes it. One at a time.
    async fn write(
        self: Arc<Self>,
        write: impl FnOnce(&Profile, &mut Vec<u8>) -> Result<(), WriteError> + Send + 'static,
    ) -> Result<Vec<u8>, Problem> {
        let Some(source) = self.source.clone() else {
            return Err(Problem::new(
                Kind::NotSampled,
                "the heap of this service is not sampled; start it with --heap-sampling adaptive",
            ));
        };
        let Ok(mut symbolizer) = self.symbolizer.clone().try_lock_owned() else {
            return Err(Problem::new(Kind::ProfileInProgress, "a profile is just being written; come again"));
        };
        let work = move || {
            let snapshot = source.snapshot();
            let names = symbolizer.resolve(&snapshot);
            for problem in &names.problems {
                tracing::debug!(%problem, "names are missing from the profile");
            }
            let mut out = Vec::new();
            write(&Profile::new(&snapshot, &names), &mut out).map(|()| out)
        };
        let written = tokio::task::spawn_blocking(work).await;
        match written {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(error @ (WriteError::Nothing(_) | WriteError::NotMeasured { .. }))) => {
                Err(Problem::new(Kind::NotSampled, error.to_string()))
            }
            Ok(Err(error)) => Err(internal(&error)),
            Err(error) => Err(internal(&error)),
        }
    }
}

fn internal(error: &dyn std::error::Error) -> Problem {
    tracing::error!(%error, "a profile could not be written");
    Problem::new(Kind::Internal, "the profile could not be written; the log says why")
}

fn answer(content_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // It is of this moment.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
