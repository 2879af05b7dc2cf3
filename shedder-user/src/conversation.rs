//! One request and its answer in HTTP, with a client that may be slow, rude or gone.
//!
//! Invariant: it ends in time, as its leash says, and costs no more memory than its head may have and its
//! answer has.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::api::model::Failure;
use crate::leash::Leash;

/// What a client may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Time until it has asked.
    pub(crate) headers_within: Duration,
    /// Time for everything, but for a stream that was let out.
    pub(crate) life: Duration,
    /// Beyond it, 431.
    pub(crate) max_head_bytes: usize,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With an answer, or because the client went away.
    Over,
    /// The client asked or read too slowly.
    Slow,
    /// It sent more than a head may have.
    Large,
}

/// Answers one request. A client that has no answer yet when its time is up is told so.
pub(crate) async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    routes: Router,
    leash: Arc<Leash>,
    limits: Limits,
) -> End {
    let routes = routes.layer(from_fn_with_state(Arc::clone(&leash), note));
    let talk = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers_within)
        .keep_alive(false)
        .max_buf_size(limits.max_head_bytes)
        .serve_connection(TokioIo::new(&mut stream), TowerToHyperService::new(routes));
    let end = tokio::select! {
        outcome = talk => match outcome {
            Ok(()) => End::Over,
            Err(error) if error.is_timeout() => End::Slow,
            Err(error) if error.is_parse_too_large() => End::Large,
            Err(_gone) => End::Over,
        },
        () = leash.end(limits.life) => End::Slow,
    };
    if end == End::Slow && !leash.is_answered() {
        let said = plain(StatusCode::REQUEST_TIMEOUT, "too slow, or too many at once: ask again");
        // Whoever has no room even for this is not told.
        drop(timeout(LAST_WORDS, stream.write_all(&said)).await);
    }
    // Closed on what is still being sent, the kernel would take the answer back.
    drop(timeout(LINGER, hang_up(&mut stream)).await);
    end
}

async fn hang_up(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    drop(stream.shutdown().await);
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await.is_ok_and(|length| length > 0) {}
}

async fn note(State(leash): State<Arc<Leash>>, request: Request, next: Next) -> Response {
    let answer = next.run(request).await;
    leash.answer();
    answer
}

/// A whole answer, for where there is nobody to make one.
fn plain(status: StatusCode, error: &str) -> Vec<u8> {
    let body = serde_json::to_string(&Failure { error: error.to_owned() }).expect("it is text");
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

const LAST_WORDS: Duration = Duration::from_millis(50);
const LINGER: Duration = Duration::from_millis(500);
