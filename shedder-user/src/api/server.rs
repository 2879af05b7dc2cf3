//! The routes. Each turns a request into one question to the daemon loop and its answer into JSON.

mod orders;
mod record;

use std::future::Future;

use axum::body::{Body, Bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use axum::{Json, Router};
use http_body_util::channel::{Channel, Sender};
use serde::Deserialize;
use tokio::net::UnixListener;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::clock;

use super::model::{
    Event, EventKind, Explanation, Failure, Histograms, Overridden, Override, Reload, Reloaded,
    Status,
};

/// A question to the daemon loop, with the place for its answer.
#[derive(Debug)]
pub enum Control {
    /// Everything there is to know now.
    Status(oneshot::Sender<Status>),
    /// The text that Prometheus reads.
    Metrics(oneshot::Sender<Bytes>),
    /// Whether this daemon is ready, or why not.
    Ready(oneshot::Sender<Result<(), String>>),
    /// What happened lately, and what happens from then on.
    Events(oneshot::Sender<Follow>),
    /// Why connects are refused, or why there is no telling.
    Explain(Subject, oneshot::Sender<Result<Explanation, String>>),
    /// How long an endpoint's handshakes and answers took, or why there is no telling.
    Histogram(Selection, oneshot::Sender<Result<Histograms, String>>),
    /// What the engine is shown from now on, of one service or all, as a recording; or why not.
    Record(Option<String>, oneshot::Sender<Result<mpsc::Receiver<Bytes>, String>>),
    /// An operator's order; what it reached, or why it did not.
    Override(Override, Operator, oneshot::Sender<Result<Overridden, String>>),
    /// To take up the policy file as it is now; what changed, or why nothing did.
    Reload(Reload, Operator, oneshot::Sender<Result<Reloaded, String>>),
}

/// Who gives an order, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The user.
    pub uid: u32,
    /// The process, if it is in our process namespace.
    pub pid: Option<u32>,
}

/// What an explanation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An endpoint, as a person writes it.
    Endpoint(String),
    /// A process.
    Process(u32),
}

/// The breakers of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// Address and port, as a person writes it.
    pub endpoint: String,
    /// Only this caller's; those of all callers otherwise.
    pub caller: Option<String>,
    /// Only in this network namespace; in all otherwise.
    pub network: Option<String>,
}

/// The past and the future of the event journal, without a gap between them.
#[derive(Debug)]
pub struct Follow {
    /// Oldest first.
    pub past: Vec<Event>,
    /// Events after the last of `past`.
    pub future: broadcast::Receiver<Event>,
}

/// Answers requests until `stop` is ready; then lets those under way end.
pub async fn serve(
    listener: UnixListener,
    control: mpsc::Sender<Control>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/events", get(events))
        .route("/v1/explain", get(explain))
        .route("/v1/histogram", get(histogram))
        .route("/v1/record", get(record::record))
        .route("/v1/override", post(orders::override_breaker))
        .route("/v1/reload", post(orders::reload))
        .fallback(async || {
            refuse(StatusCode::NOT_FOUND, "no such route; this is the control socket of shedder")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(control);
    axum::serve(listener, routes.into_make_service_with_connect_info::<Peer>())
        .with_graceful_shutdown(stop)
        .await
}

/// Who is at the other end, as the kernel says.
#[derive(Clone, Copy, Debug)]
struct Peer {
    /// Nothing when the kernel would not say; then nothing may be changed.
    operator: Option<Operator>,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let peer = stream.io().peer_cred().ok();
        let pid = |pid: i32| u32::try_from(pid).ok().filter(|pid| *pid > 0);
        let operator = peer.map(|peer| Operator { uid: peer.uid(), pid: peer.pid().and_then(pid) });
        Self { operator }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusQuery {
    service: Option<String>,
    caller: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    #[serde(default)]
    follow: bool,
    /// Only events after the one with this number; all there are if there never was one.
    after: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainQuery {
    endpoint: Option<String>,
    pid: Option<u32>,
}

async fn explain(
    State(control): State<mpsc::Sender<Control>>,
    query: Result<Query<ExplainQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let subject = match query {
        Ok(Query(ExplainQuery { endpoint: Some(endpoint), pid: None })) => {
            Subject::Endpoint(endpoint)
        }
        Ok(Query(ExplainQuery { endpoint: None, pid: Some(pid) })) => Subject::Process(pid),
        Ok(_) => return refuse(StatusCode::BAD_REQUEST, "name an endpoint or a pid, not both"),
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.body_text()),
    };
    match ask(&control, |answer| Control::Explain(subject, answer)).await {
        Some(Ok(explanation)) => Json(explanation).into_response(),
        Some(Err(error)) => refuse(StatusCode::UNPROCESSABLE_ENTITY, &error),
        None => stopping(),
    }
}

async fn histogram(
    State(control): State<mpsc::Sender<Control>>,
    query: Result<Query<Selection>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Query(selection) = match query {
        Ok(query) => query,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.body_text()),
    };
    match ask(&control, |answer| Control::Histogram(selection, answer)).await {
        Some(Ok(histograms)) => Json(histograms).into_response(),
        Some(Err(error)) => refuse(StatusCode::UNPROCESSABLE_ENTITY, &error),
        None => stopping(),
    }
}

async fn status(
    State(control): State<mpsc::Sender<Control>>,
    query: Result<Query<StatusQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Query(query) = match query {
        Ok(query) => query,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.body_text()),
    };
    let Some(mut status) = ask(&control, Control::Status).await else { return stopping() };
    status.breakers.retain(|breaker| {
        query.service.as_ref().is_none_or(|service| *service == breaker.service)
            && query.caller.as_ref().is_none_or(|caller| *caller == breaker.caller)
    });
    Json(status).into_response()
}

async fn events(
    State(control): State<mpsc::Sender<Control>>,
    query: Result<Query<EventsQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Query(EventsQuery { follow, after }) = match query {
        Ok(query) => query,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.body_text()),
    };
    let Some(Follow { mut past, future }) = ask(&control, Control::Events).await else {
        return stopping();
    };
    let last = past.last().map_or(0, |event| event.sequence);
    // A number beyond the last is one of an earlier daemon, whose numbers this one does not know.
    if let Some(after) = after.filter(|after| *after <= last) {
        past.retain(|event| event.sequence > after);
    }
    let past: Vec<u8> = past.iter().flat_map(line).collect();
    let lines = [(header::CONTENT_TYPE, "application/x-ndjson")];
    if !follow {
        return (lines, past).into_response();
    }
    let (sender, body) = Channel::<Bytes>::new(1);
    tokio::spawn(stream(past, future, sender));
    (lines, Body::new(body)).into_response()
}

/// Sends events until the client or the daemon goes away. A client too slow to keep up is told how
/// many events it missed.
async fn stream(past: Vec<u8>, mut future: broadcast::Receiver<Event>, mut sender: Sender<Bytes>) {
    if sender.send_data(past.into()).await.is_err() {
        return;
    }
    let mut sequence = 0;
    loop {
        let bytes = match future.recv().await {
            Ok(event) => {
                sequence = event.sequence;
                line(&event)
            }
            Err(broadcast::error::RecvError::Lagged(count)) => line(&missed(sequence, count)),
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if sender.send_data(bytes.into()).await.is_err() {
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

/// Puts a question to the daemon loop; nothing when it has ended.
async fn ask<T>(
    control: &mpsc::Sender<Control>,
    question: impl FnOnce(oneshot::Sender<T>) -> Control,
) -> Option<T> {
    let (sender, receiver) = oneshot::channel();
    control.send(question(sender)).await.ok()?;
    receiver.await.ok()
}

fn refuse(status: StatusCode, error: &str) -> Response {
    (status, Json(Failure { error: error.to_owned() })).into_response()
}

fn stopping() -> Response {
    refuse(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping")
}

fn line(event: &Event) -> Vec<u8> {
    let mut line = serde_json::to_vec(event).expect("an event has only text keys");
    line.push(b'\n');
    line
}

const MAX_BODY_BYTES: usize = 64 * 1024;
