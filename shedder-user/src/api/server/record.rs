//! The route of a recording: bytes as the daemon makes them, until either side goes away.

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::channel::Channel;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{Control, ask, refuse, stopping};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordQuery {
    service: Option<String>,
}

pub(super) async fn record(
    State(control): State<mpsc::Sender<Control>>,
    query: Result<Query<RecordQuery>, QueryRejection>,
) -> Response {
    let Query(RecordQuery { service }) = match query {
        Ok(query) => query,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.body_text()),
    };
    let mut frames = match ask(&control, |answer| Control::Record(service, answer)).await {
        Some(Ok(frames)) => frames,
        Some(Err(error)) => return refuse(StatusCode::UNPROCESSABLE_ENTITY, &error),
        None => return stopping(),
    };
    let (mut sender, body) = Channel::<Bytes>::new(1);
    tokio::spawn(async move {
        while let Some(bytes) = frames.recv().await {
            if sender.send_data(bytes).await.is_err() {
                return;
            }
        }
    });
    ([(header::CONTENT_TYPE, "application/octet-stream")], Body::new(body)).into_response()
}
