//! What may be read: the same over the control socket and over TCP.
//!
//! Invariant: nothing here changes anything, and every refusal is JSON.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::channel::{Channel, Sender};
use serde::Deserialize;
use tokio::sync::{broadcast, mpsc};

use super::{Control, Follow, Selection, Subject, ask, refuse, stopping};
use crate::api::model::{Event, EventKind, Explanation};
use crate::clock;

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

pub(crate) async fn events(
    State(control): State<mpsc::Sender<Control>>,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Response {
    let Query(EventsQuery { follow, after }) = match query {
        Ok(query) => query,
        Err(error) => return refuse(BAD, &error.body_text()),
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

fn line(event: &Event) -> Vec<u8> {
    let mut line = serde_json::to_vec(event).expect("an event has only text keys");
    line.push(b'\n');
    line
}

const BAD: StatusCode = StatusCode::BAD_REQUEST;
