//! What may be read: the same over the control socket and over TCP.
//!
//! Invariant: nothing here changes anything, and every refusal is JSON.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use tokio::sync::{broadcast, mpsc};

use super::{Control, Follow, Selection, Subject, ask, refuse, stopping};
use crate::api::model::{Event, Explanation};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatusQuery {
    service: Option<String>,
    caller: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsQuery {
    #[serde(default)]
    pub(crate) follow: bool,
    /// Only events after the one with this number; all there are if there never was one.
    after: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExplainQuery {
    endpoint: Option<String>,
    pub(crate) pid: Option<u32>,
}

pub(crate) async fn explain(
    State(control): State<mpsc::Sender<Control>>,
    query: Result<Query<ExplainQuery>, QueryRejection>,
) -> Response {
    explanation(&control, query).await.map_or_else(|refusal| refusal, |it| Json(it).into_response())
}

/// The explanation asked for, or the answer that refuses it.
pub(crate) async fn explanation(
    control: &mpsc::Sender<Control>,
    query: Result<Query<ExplainQuery>, QueryRejection>,
) -> Result<Explanation, Response> {
    let subject = match query {
        Ok(Query(ExplainQuery { endpoint: Some(endpoint), pid: None })) => {
            Subject::Endpoint(endpoint)
        }
        Ok(Query(ExplainQuery { endpoint: None, pid: Some(pid) })) => Subject::Process(pid),
        Ok(_) => return Err(refuse(BAD, "name an endpoint or a pid, not both")),
        Err(error) => return Err(refuse(BAD, &error.body_text())),
    };
    ask(control, |answer| Control::Explain(subject, answer))
        .await
        .ok_or_else(stopping)?
        .map_err(|error| refuse(StatusCode::UNPROCESSABLE_ENTITY, &error))
}

pub(crate) async fn histogram(
    State(control): State<mpsc::Sender<Control>>,
    query: Result<Query<Selection>, QueryRejection>,
) -> Response {
    let Query(selection) = match query {
        Ok(query) => query,
        Err(error) => return refuse(BAD, &error.body_text()),
    };
    match ask(&control, |answer| Control::Histogram(selection, answer)).await {
        Some(Ok(histograms)) => Json(histograms).into_response(),
        Some(Err(error)) => refuse(StatusCode::UNPROCESSABLE_ENTITY, &error),
        None => stopping(),
    }
}

pub(crate) async fn status(
    State(control): State<mpsc::Sender<Control>>,
    query: Result<Query<StatusQuery>, QueryRejection>,
) -> Response {
    let Query(query) = match query {
        Ok(query) => query,
        Err(error) => return refuse(BAD, &error.body_text()),
    };
    let Some(mut status) = ask(&control, Control::Status).await else { return stopping() };
    status.breakers.retain(|breaker| {
        query.service.as_ref().is_none_or(|service| *service == breaker.service)
            && query.caller.as_ref().is_none_or(|caller| *caller == breaker.caller)
    });
    Json(status).into_response()
}

/// What happened lately.
pub(crate) async fn events(
    State(control): State<mpsc::Sender<Control>>,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Response {
    told(&control, query)
        .await
        .map_or_else(|refusal| refusal, |it| (LINES, it.past).into_response())
}

/// What happened lately, as lines, and what happens from then on.
pub(super) struct Told {
    pub(super) past: Vec<u8>,
    pub(super) future: broadcast::Receiver<Event>,
}

pub(super) async fn told(
    control: &mpsc::Sender<Control>,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Result<Told, Response> {
    let Query(EventsQuery { after, .. }) =
        query.map_err(|error| refuse(BAD, &error.body_text()))?;
    let Follow { mut past, future } = ask(control, Control::Events).await.ok_or_else(stopping)?;
    let last = past.last().map_or(0, |event| event.sequence);
    // A number beyond the last is one of an earlier daemon, whose numbers this one does not know.
    if let Some(after) = after.filter(|after| *after <= last) {
        past.retain(|event| event.sequence > after);
    }
    Ok(Told { past: past.iter().flat_map(line).collect(), future })
}

pub(super) fn line(event: &Event) -> Vec<u8> {
    let mut line = serde_json::to_vec(event).expect("an event has only text keys");
    line.push(b'\n');
    line
}

/// What lines of JSON are called.
pub(super) const LINES: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/x-ndjson")];
const BAD: StatusCode = StatusCode::BAD_REQUEST;
