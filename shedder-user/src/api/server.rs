//! The routes. Each turns a request into one question to the daemon loop and its answer into JSON.

mod orders;
pub(crate) mod reads;
mod record;

use std::future::Future;

use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::extract::connect_info::Connected;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use axum::{Json, Router};
use serde::Deserialize;
use tokio::net::UnixListener;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::telemetry::Points;

use super::model::{
    Event, Explanation, Failure, Glance, Histograms, Overridden, Override, Reload, Reloaded, Status,
};

/// A question to the daemon loop, with the place for its answer.
#[derive(Debug)]
pub enum Control {
    /// Everything there is to know now.
    Status(oneshot::Sender<Status>),
    /// What somebody who looks on is shown each second.
    Glance(oneshot::Sender<Glance>),
    /// The text that Prometheus reads.
    Metrics(oneshot::Sender<Bytes>),
    /// The metrics as a collector is sent them.
    Points(oneshot::Sender<Points>),
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
        .route("/v1/status", get(reads::status))
        .route("/v1/events", get(reads::events))
        .route("/v1/explain", get(reads::explain))
        .route("/v1/histogram", get(reads::histogram))
        .route("/v1/record", get(record::record))
        .route("/v1/override", post(orders::override_breaker))
        .route("/v1/reload", post(orders::reload))
        .fallback(async || {
            refuse(StatusCode::NOT_FOUND, "no such route; this is the control socket of shedder")
        })
        .method_not_allowed_fallback(wrong_method)
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

/// Puts a question to the daemon loop; nothing when it has ended.
pub(crate) async fn ask<T>(
    control: &mpsc::Sender<Control>,
    question: impl FnOnce(oneshot::Sender<T>) -> Control,
) -> Option<T> {
    let (sender, receiver) = oneshot::channel();
    control.send(question(sender)).await.ok()?;
    receiver.await.ok()
}

/// An answer that says what is wrong and what to do.
pub(crate) fn refuse(status: StatusCode, error: &str) -> Response {
    (status, Json(Failure { error: error.to_owned() })).into_response()
}

/// For routes that are there, asked in a way they are not.
pub(crate) async fn wrong_method() -> Response {
    refuse(StatusCode::METHOD_NOT_ALLOWED, "this route is not to be asked so; what reads is GET")
}

fn stopping() -> Response {
    refuse(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping")
}

const MAX_BODY_BYTES: usize = 64 * 1024;
