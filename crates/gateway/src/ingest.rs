//! `PUT|POST /ingest/{topic}`: a body of any length, cut, hashed and told about, in constant memory.
//!
//! Each chunk becomes an event for the topic's readers; the answer sums up the whole. The body is read only
//! as fast as chunks are published, and publishing gives readers that are behind a moment to catch up, so
//! the client's own socket slows it down.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::Json;
use axum::{Extension, Router, routing};
use futures_util::{Stream, StreamExt, stream};
use plimsoll_bounds::hub::{Hub, Pacer, TopicName};
use plimsoll_bounds::pool::{Owner, Revoked};
use plimsoll_bounds::processor::{
    Chunk, ChunkError, Chunker, Cutter, Lines, ProcessCause, ProcessError, Processor, WorkError,
};
use plimsoll_core::Bytes as Size;
use plimsoll_http::body::LimitedBody;
use plimsoll_http::problem::{Kind, Problem};
use plimsoll_http::{CorrelationId, routes};
use serde::{Deserialize, Serialize};
use tokio::sync::SemaphorePermit;

use crate::content::ContentDefined;
use crate::plan::CHUNK_BYTES_MAX;
use crate::publish::{no_buffer, refused};
use crate::service::Service;

/// How long a whole line of a live log may wait for company before it is published.
const LINES_FLUSH_AFTER: Duration = Duration::from_millis(500);

/// The reason of an ingest that was dropped in the middle: its connection ended before the answer.
const ABANDONED: &str = "abandoned";

/// Lines that come fast are gathered into chunks of at most this size.
const LINES_CHUNK_BYTES_MAX: Size = Size::kib(64);

// Both cutters must stay within what the plan reckons for an ingest.
const _: () = assert!(LINES_CHUNK_BYTES_MAX.as_u64() <= CHUNK_BYTES_MAX.as_u64());

pub(crate) fn routes() -> Router<Arc<Service>> {
    routes::with_topic("/ingest", routing::put(ingest).post(ingest))
}

#[derive(Deserialize)]
// A parameter that was mistyped would be one that was not asked for.
#[serde(deny_unknown_fields)]
struct Parameters {
    #[serde(default)]
    split: Split,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Split {
    /// Where the content says so.
    #[default]
    Content,
    /// After whole lines, at least every second.
    Lines,
}

/// What is known of a chunk: the event `chunk`.
#[derive(Serialize)]
struct ChunkFacts {
    seq: u64,
    offset_bytes: u64,
    length_bytes: u64,
    blake3: String,
    lines: u64,
}

/// What is known of the whole body: the answer, and the event `summary`.
#[derive(Serialize)]
struct Summary {
    chunks: u64,
    length_bytes: u64,
    lines: u64,
    blake3: String,
}

/// How far a body came that ended early: the event `aborted`. The reason is a problem's name, or
/// [`ABANDONED`].
#[derive(Serialize)]
struct Aborted {
    chunks: u64,
    length_bytes: u64,
    reason: &'static str,
}

/// An event of an ingest: the facts, and whose they are.
#[derive(Serialize)]
struct Event<'a, T> {
    #[serde(flatten)]
    facts: &'a T,
    correlation_id: &'a CorrelationId,
}

async fn ingest(
    State(service): State<Arc<Service>>,
    Extension(correlation): Extension<CorrelationId>,
    topic: Result<Path<String>, PathRejection>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    body: Body,
) -> Result<Json<Summary>, Problem> {
    let topic = routes::topic(topic)?;
    let Query(Parameters { split }) = parameters.map_err(|rejection| {
        Problem::new(
            Kind::InvalidRequest,
            format!("{}; `split` is `content` (the default) or `lines`", rejection.body_text()),
        )
    })?;
    let limits = &service.settings.ingest;
    let body = LimitedBody::new(body, limits.body_limit, limits.body_idle_timeout)?;
    let _working = service.work.token();
    let _turn = service.until_closing(turn(&service)).await?;
    tracing::info!(%topic, ?split, "ingest begins");
    let mut ingest = Ingest {
        hub: service.hub.clone(),
        events: service.hub.pacer(),
        topic,
        correlation,
        chunks: 0,
        length_bytes: 0,
        lines: 0,
        told: false,
    };
    match service.until_closing(ingest.run(&service, body, split)).await {
        Ok(summary) => {
            tracing::info!(chunks = summary.chunks, length_bytes = summary.length_bytes, "ingest done");
            Ok(Json(summary))
        }
        Err(problem) => {
            ingest.abort(problem.kind().name());
            Err(problem)
        }
    }
}

/// Waits until the pool can hold one more ingest whole.
async fn turn(service: &Service) -> Result<SemaphorePermit<'_>, Problem> {
    let patience = service.settings.ingest.acquire_timeout;
    service.turns.take(patience).await.ok_or_else(|| {
        Problem::new(
            Kind::NoMemory,
            format!(
                "as many bodies are being taken in as fit into the pool, and none ended within {patience:?}; send \
                 it later, or raise --memory-limit or --pool-limit"
            ),
        )
    })
}

/// One body on its way. Its readers are always told how it ended: dropped in the middle, as it is when its
/// client goes away without waiting for the answer, it says so itself.
struct Ingest {
    hub: Hub,
    events: Pacer,
    topic: TopicName,
    correlation: CorrelationId,
    chunks: u64,
    length_bytes: u64,
    lines: u64,
    // Whether `summary` or `aborted` was published.
    told: bool,
}

impl Drop for Ingest {
    fn drop(&mut self) {
        self.abort(ABANDONED);
    }
}

impl Ingest {
    async fn run(&mut self, service: &Service, body: LimitedBody, split: Split) -> Result<Summary, Problem> {
        let pieces = Box::pin(pieces(body));
        let (cutter, flush_after): (Box<dyn Cutter + Send>, _) = match split {
            Split::Content => (Box::new(ContentDefined), None),
            Split::Lines => {
                (Box::new(Lines { bytes_max: LINES_CHUNK_BYTES_MAX.as_usize() }), Some(LINES_FLUSH_AFTER))
            }
        };
        let mut chunks = Chunker::new(pieces, cutter, &service.pool)
            .acquire_timeout(service.settings.ingest.acquire_timeout)
            .owner(Owner::new("ingest"));
        if let Some(flush_after) = flush_after {
            chunks = chunks.flush_after(flush_after);
        }
        let mut whole = blake3::Hasher::new();
        let correlation: Arc<str> = self.correlation.as_str().into();
        // The work is called in the order of the chunks, so the digest of the whole grows with them.
        let work = |chunk: Chunk| std::future::ready(facts(&chunk, &mut whole).map_err(WorkError::from));
        let mut results = Processor::new(chunks, correlation, work)
            .in_flight_max(service.settings.ingest.in_flight_max)
            .counts(service.processed.clone());
        while let Some(facts) = results.next().await {
            let facts = facts.map_err(problem)?;
            self.publish("chunk", &facts).await?;
            self.chunks += 1;
            self.length_bytes += facts.length_bytes;
            self.lines += facts.lines;
        }
        drop(results);
        let summary = Summary {
            chunks: self.chunks,
            length_bytes: self.length_bytes,
            lines: self.lines,
            blake3: whole.finalize().to_string(),
        };
        self.publish("summary", &summary).await?;
        self.told = true;
        Ok(summary)
    }

    /// Publishes an event, after the moment that readers who are behind are given.
    async fn publish<T: Serialize>(&mut self, event_type: &str, facts: &T) -> Result<(), Problem> {
        let data = self.data(facts);
        self.events.publish(&self.topic, event_type, &data).await.map_err(|error| refused(&error))?;
        Ok(())
    }

    /// Tells the readers, once and without waiting, that no summary will come. A hub that is closing has told
    /// them itself.
    fn abort(&mut self, reason: &'static str) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let Ingest { chunks, length_bytes, .. } = *self;
        tracing::info!(chunks, length_bytes, reason, "ingest aborted");
        let data = self.data(&Aborted { chunks, length_bytes, reason });
        if let Err(error) = self.hub.publish(&self.topic, "aborted", &data) {
            tracing::debug!(%error, "the abort could not be published");
        }
    }

    fn data<T: Serialize>(&self, facts: &T) -> String {
        let event = Event { facts, correlation_id: &self.correlation };
        // Numbers and plain strings only: there is nothing that could fail to serialise.
        serde_json::to_string(&event).unwrap_or_default()
    }
}

fn pieces(body: LimitedBody) -> impl Stream<Item = Result<axum::body::Bytes, Problem>> + Send {
    stream::try_unfold(body, |mut body| async move { Ok(body.next().await?.map(|piece| (piece, body))) })
}

fn facts(chunk: &Chunk, whole: &mut blake3::Hasher) -> Result<ChunkFacts, Revoked> {
    chunk.lease.with(|bytes| {
        whole.update(bytes);
        ChunkFacts {
            seq: chunk.seq,
            offset_bytes: chunk.offset_bytes,
            length_bytes: chunk.length_bytes(),
            blake3: blake3::hash(bytes).to_string(),
            lines: memchr::memchr_iter(b'\n', bytes).count() as u64,
        }
    })
}

fn problem(error: ProcessError<Problem>) -> Problem {
    match error.cause {
        ProcessCause::Chunk(ChunkError::Source(problem)) => problem,
        ProcessCause::Chunk(ChunkError::NoBuffer { error, .. }) => no_buffer(&error),
        _ => {
            tracing::error!(%error, "an ingest failed");
            Problem::new(Kind::Internal, "the body could not be worked on; the log says why")
        }
    }
}
