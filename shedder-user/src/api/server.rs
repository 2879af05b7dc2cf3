//! The routes. Each turns a request into one question to the daemon loop and its answer into JSON.

mod guests;
mod orders;
pub(crate) mod reads;
mod streams;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::Deserialize;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tracing::warn;

use crate::telemetry::Points;

use self::guests::Guests;
use self::orders::Pace;
use self::streams::Streams;

pub use self::guests::Refused;

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
    refused: Arc<Refused>,
    stop: impl Future<Output = ()>,
) {
    let mut guests = Guests::new(routes(control, &refused), refused);
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => guests.welcome(stream),
                Err(error) => {
                    warn!(%error, "nobody can be answered on the control socket");
                    sleep(PAUSE).await;
                }
            },
            () = guests.next_gone() => {}
            () = &mut stop => break,
        }
    }
    drop(listener);
    guests.all_gone().await;
}

/// One conversation as with a client that the kernel says is this operator.
#[cfg(any(test, fuzzing))]
pub(crate) async fn converse_with(
    stream: tokio::io::DuplexStream,
    control: mpsc::Sender<Control>,
    operator: Option<Operator>,
) {
    guests::converse_with(stream, routes(control, &Arc::default()), Peer { operator }).await;
}

fn routes(control: mpsc::Sender<Control>, refused: &Arc<Refused>) -> Router {
    Router::new()
        .route("/v1/status", get(reads::status))
        .route("/v1/events", get(streams::events))
        .route("/v1/explain", get(reads::explain))
        .route("/v1/histogram", get(reads::histogram))
        .route("/v1/record", get(streams::record))
        .route("/v1/override", post(orders::override_breaker))
        .route("/v1/reload", post(orders::reload))
        .fallback(async || {
            refuse(StatusCode::NOT_FOUND, "no such route; this is the control socket of shedder")
        })
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(Extension(Streams::new(Arc::clone(refused))))
        .layer(Extension(Arc::new(Pace::new(Arc::clone(refused)))))
        .with_state(control)
}

/// Who is at the other end, as the kernel says.
#[derive(Clone, Copy, Debug)]
struct Peer {
    /// Nothing when the kernel would not say; then nothing may be changed.
    operator: Option<Operator>,
}

impl Peer {
    fn of(stream: &UnixStream) -> Self {
        let peer = stream.peer_cred().ok();
        let pid = |pid: i32| u32::try_from(pid).ok().filter(|pid| *pid > 0);
        let operator = peer.map(|peer| Operator { uid: peer.uid(), pid: peer.pid().and_then(pid) });
        Self { operator }
    }

    fn uid(self) -> Option<u32> {
        self.operator.map(|operator| operator.uid)
    }
}

/// Puts a question to the daemon loop; nothing when it has ended, or hangs.
pub(crate) async fn ask<T>(
    control: &mpsc::Sender<Control>,
    question: impl FnOnce(oneshot::Sender<T>) -> Control,
) -> Option<T> {
    let (sender, receiver) = oneshot::channel();
    let answer = async {
        control.send(question(sender)).await.ok()?;
        receiver.await.ok()
    };
    timeout(ANSWER_WITHIN, answer).await.ok().flatten()
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
    refuse(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping, or its loop does not answer")
}

const ROOT: u32 = 0;
/// Somewhat less than a conversation may take, so that a client is told.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);
/// After an error of the listener, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);
const MAX_BODY_BYTES: usize = 64 * 1024;
