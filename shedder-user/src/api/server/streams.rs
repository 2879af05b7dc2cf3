//! What goes on over the control socket: events as they happen, and recordings.
//!
//! Invariant: so many at once, and whoever takes nothing for a while is let go; nothing piles up for them.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::channel::{Channel, Sender};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc};
use tokio::time::timeout;

use super::guests::Refused;
use super::reads::{self, EventsQuery, Told};
use super::{Control, ask, refuse, stopping};
use crate::api::model::{Event, EventKind};
use crate::clock;
use crate::leash::Leash;

/// Room for streams.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    places: Arc<Semaphore>,
    refused: Arc<Refused>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordQuery {
    service: Option<String>,
}

impl Streams {
    pub(super) fn new(refused: Arc<Refused>) -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)), refused }
    }

    fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    fn turn_away(&self) -> Response {
        self.refused.full();
        let why = format!("{AT_ONCE} follow or record already; end one of them");
        refuse(StatusCode::SERVICE_UNAVAILABLE, &why)
    }
}

/// The way to one client.
#[derive(Debug)]
struct Stream {
    sender: Sender<Bytes>,
    leash: Arc<Leash>,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    /// Lets the conversation last.
    fn begin(leash: Arc<Leash>, place: OwnedSemaphorePermit) -> (Self, Body) {
        leash.let_out();
        let (sender, body) = Channel::<Bytes>::new(1);
        (Self { sender, leash, _place: place }, Body::new(body))
    }

    /// Whether the client has taken it, and is to get more.
    async fn send(&mut self, bytes: Bytes) -> bool {
        match timeout(PATIENCE, self.sender.send_data(bytes)).await {
            Ok(sent) => sent.is_ok(),
            Err(_late) => {
                self.leash.cut();
                false
            }
        }
    }
}

pub(super) async fn record(
    State(control): State<mpsc::Sender<Control>>,
    Extension(streams): Extension<Streams>,
    Extension(leash): Extension<Arc<Leash>>,
    query: Result<Query<RecordQuery>, QueryRejection>,
) -> Response {
    let Query(RecordQuery { service }) = match query {
        Ok(query) => query,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.body_text()),
    };
    let Some(place) = streams.place() else { return streams.turn_away() };
    let mut frames = match ask(&control, |answer| Control::Record(service, answer)).await {
        Some(Ok(frames)) => frames,
        Some(Err(error)) => return refuse(StatusCode::UNPROCESSABLE_ENTITY, &error),
        None => return stopping(),
    };
    let (mut stream, body) = Stream::begin(leash, place);
    tokio::spawn(async move {
        while let Some(bytes) = frames.recv().await {
            if !stream.send(bytes).await {
                return;
            }
        }
    });
    ([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response()
}

pub(super) async fn events(
    State(control): State<mpsc::Sender<Control>>,
    Extension(streams): Extension<Streams>,
    Extension(leash): Extension<Arc<Leash>>,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Response {
    let is_following = query.as_ref().is_ok_and(|query| query.follow);
    let Told { past, future } = match reads::told(&control, query).await {
        Ok(told) => told,
        Err(refusal) => return refusal,
    };
    if !is_following {
        return (reads::LINES, past).into_response();
    }
    let Some(place) = streams.place() else { return streams.turn_away() };
    let (stream, body) = Stream::begin(leash, place);
    tokio::spawn(follow(past, future, stream));
    (reads::LINES, body).into_response()
}

/// Sends events until the client or the daemon goes away. A client too slow to keep up is told how
/// many events it missed.
async fn follow(past: Vec<u8>, mut future: broadcast::Receiver<Event>, mut stream: Stream) {
    if !stream.send(past.into()).await {
        return;
    }
    let mut sequence = 0;
    loop {
        let bytes = match future.recv().await {
            Ok(event) => {
                sequence = event.sequence;
                reads::line(&event)
            }
            Err(broadcast::error::RecvError::Lagged(count)) => {
                reads::line(&missed(sequence, count))
            }
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if !stream.send(bytes.into()).await {
            return;
        }
    }
}

/// Takes the place of events a client was too slow for; `sequence` is the last one it got.
fn missed(sequence: u64, count: u64) -> Event {
    let at = humantime::format_rfc3339_millis(clock::wall(clock::now())).to_string();
    let text = format!("{count} events were missed: this client reads too slowly");
    Event { sequence, at, kind: EventKind::Missed { count }, text }
}

/// Clients that follow or record at once.
const AT_ONCE: usize = 32;
/// How long a client may take to make room for more: somebody may page through what is printed.
const PATIENCE: Duration = Duration::from_secs(10);
