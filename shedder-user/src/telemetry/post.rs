//! One request to a collector, over HTTP.
//!
//! Invariant: it ends within [`PATIENCE`], and what is kept of the answer is bounded.

use std::time::Duration;

use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::Otlp;

/// What a collector said.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It has taken it, with this answer.
    Taken(Bytes),
    /// Not now; perhaps after this time.
    Later(Option<Duration>, String),
    /// It never will take it.
    Refused(String),
}

/// Sends `body` to `path` below the collector's address. A connection for each request: there is one
/// every few seconds at most, and none to go stale.
pub(super) async fn post(otlp: &Otlp, path: &str, body: Vec<u8>) -> Outcome {
    match timeout(PATIENCE, attempt(otlp, path, body)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Outcome::Later(None, format!("{error:#}")),
        Err(_elapsed) => Outcome::Later(None, format!("no answer within {PATIENCE:?}")),
    }
}

async fn attempt(otlp: &Otlp, path: &str, body: Vec<u8>) -> anyhow::Result<Outcome> {
    let stream = TcpStream::connect((otlp.host.as_str(), otlp.port)).await?;
    let (mut requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let conversation = async {
        let mut request = Request::post(format!("{}{path}", otlp.path))
            .header(HOST, otlp.authority())
            .header(USER_AGENT, concat!("shedder/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/x-protobuf");
        for (name, value) in &otlp.headers {
            request = request.header(name, value);
        }
        let response = requests.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
        judge(response).await
    };
    // The connection moves only while it is looked at, and ends with the conversation.
    tokio::pin!(conversation);
    tokio::select! {
        outcome = &mut conversation => outcome,
        // Whatever it ended with, the conversation knows, and may have had its answer.
        _closed = connection => conversation.await,
    }
}

async fn judge(response: Response<Incoming>) -> anyhow::Result<Outcome> {
    let status = response.status();
    let after = response.headers().get(RETRY_AFTER).and_then(|value| {
        let seconds: u64 = value.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    });
    if status.is_success() {
        // Taken, whatever becomes of the answer: to ask again would double it.
        let answer = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        return Ok(Outcome::Taken(answer.map_or_else(|_| Bytes::new(), Collected::to_bytes)));
    }
    Ok(match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Outcome::Later(after, status.to_string()),
        _ => Outcome::Refused(status.to_string()),
    })
}

/// As the protocol's own default.
const PATIENCE: Duration = Duration::from_secs(10);
const MAX_ANSWER_BYTES: usize = 64 * 1024;
