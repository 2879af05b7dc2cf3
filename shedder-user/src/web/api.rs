//! What the page asks for. The control socket's own handlers answer, with what is only for those who may
//! use that socket left out.
//!
//! Invariant: no process, command or user of this node is told of here: any local user may ask.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{ANSWER_WITHIN, stream};
use crate::api::model::Sketch;
use crate::api::reads::{self, EventsQuery, ExplainQuery};
use crate::api::{Control, refuse, wrong_method};

/// The routes below `/api/v1`.
pub(super) fn routes(control: mpsc::Sender<Control>) -> Router {
    let looks = stream::Looks::new(control.clone());
    Router::new()
        .route("/status", get(reads::status))
        .route("/events", get(events))
        .route("/explain", get(explain))
        .route("/histogram", get(reads::histogram))
        .with_state(control)
        .route("/stream", get(stream::follow).with_state(looks))
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn(in_time))
}

pub(super) async fn no_route() -> Response {
    let said = "no such route; below /api/v1 are status, events, explain, histogram and stream";
    refuse(StatusCode::NOT_FOUND, said)
}

/// Answers for a loop that does not.
async fn in_time(request: Request, next: Next) -> Response {
    timeout(ANSWER_WITHIN, next.run(request)).await.unwrap_or_else(|_late| {
        refuse(StatusCode::SERVICE_UNAVAILABLE, "the daemon's loop does not answer")
    })
}

async fn events(
    control: State<mpsc::Sender<Control>>,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Response {
    if query.as_ref().is_ok_and(|query| query.follow) {
        return refuse(StatusCode::BAD_REQUEST, "to follow, ask for /api/v1/stream");
    }
    reads::events(control, query).await
}

async fn explain(
    State(control): State<mpsc::Sender<Control>>,
    query: Result<Query<ExplainQuery>, QueryRejection>,
) -> Response {
    if query.as_ref().is_ok_and(|query| query.pid.is_some()) {
        let why = "processes are told of over the control socket only: `shedder explain --pid`";
        return refuse(StatusCode::FORBIDDEN, why);
    }
    match reads::explanation(&control, query).await {
        Ok(explanation) => Json(Sketch::from(explanation)).into_response(),
        Err(refusal) => refusal,
    }
}
