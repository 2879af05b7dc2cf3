//! What is read over TCP: metrics, whether the daemon is well, and the page for people with what it
//! shows. HTTP, without a word that changes anything.
//!
//! Invariant: whoever connects costs the daemon little and for a short time only: so many at once, each
//! for so long, one answer each. The few who follow the stream may stay as long as they keep up.

mod api;
mod doorman;
mod page;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tracing::warn;

use crate::api::Control;
use crate::conversation::{Limits, converse};
use crate::leash::Leash;

/// Takes the address; nobody is answered yet.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; choose another address for listen in [node]")
    })
}

/// Answers requests until it is dropped.
pub async fn serve(listener: TcpListener, control: mpsc::Sender<Control>) {
    let Ok(address) = listener.local_addr() else { return };
    let routes = routes(control, address);
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        // Those beyond wait in the listener's queue, and the daemon knows nothing of them.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let leash = Arc::new(Leash::default());
                let routes = routes.clone().layer(Extension(Arc::clone(&leash)));
                tokio::spawn(async move {
                    // One that breaks off or takes too long is the client's affair.
                    let _end = converse(stream, routes, leash, LIMITS).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "nobody can be answered");
                sleep(PAUSE).await;
            }
        }
    }
}

fn routes(control: mpsc::Sender<Control>, address: SocketAddr) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/", get(page::dashboard))
        .with_state(control.clone())
        .nest("/api/v1", api::routes(control))
        .fallback(async |uri: Uri| {
            if uri.path().starts_with("/api") {
                return api::no_route().await;
            }
            let said = "no such page; there are /, /metrics, /healthz and /readyz\n";
            (StatusCode::NOT_FOUND, said).into_response()
        })
        .layer(from_fn_with_state(address, doorman::admit))
}

/// One conversation as it is over TCP.
#[cfg(any(test, fuzzing))]
pub(crate) async fn converse_with(
    stream: tokio::io::DuplexStream,
    control: mpsc::Sender<Control>,
    address: SocketAddr,
) {
    let leash = Arc::new(Leash::default());
    let routes = routes(control, address).layer(Extension(Arc::clone(&leash)));
    let _end = converse(stream, routes, leash, LIMITS).await;
}

async fn metrics(State(control): State<mpsc::Sender<Control>>) -> Response {
    ask(&control, Control::Metrics).await.map_or_else(silent, |page| {
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page).into_response()
    })
}

/// Alive: the loop answers.
async fn healthz(State(control): State<mpsc::Sender<Control>>) -> Response {
    ask(&control, Control::Ready).await.map_or_else(silent, |_ready| "ok\n".into_response())
}

/// Attached, and looking at the evidence.
async fn readyz(State(control): State<mpsc::Sender<Control>>) -> Response {
    ask(&control, Control::Ready).await.map_or_else(silent, |ready| match ready {
        Ok(()) => "ready\n".into_response(),
        Err(why) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response()
        }
    })
}

/// Puts a question to the daemon loop; nothing when it does not answer in time.
async fn ask<T>(
    control: &mpsc::Sender<Control>,
    question: impl FnOnce(oneshot::Sender<T>) -> Control,
) -> Option<T> {
    timeout(ANSWER_WITHIN, crate::api::ask(control, question)).await.ok().flatten()
}

fn silent() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the daemon's loop does not answer\n").into_response()
}

/// Conversations at once.
const AT_ONCE: usize = 32;
const LIMITS: Limits = Limits {
    headers_within: Duration::from_secs(2),
    life: Duration::from_secs(5),
    // More than any browser sends with these requests.
    max_head_bytes: 16 * 1024,
};
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// After an error of the listener, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);
