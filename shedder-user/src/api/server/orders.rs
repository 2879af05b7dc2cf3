//! What only root may ask for, because it changes something.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};

use super::{Control, Operator, Peer, ask, refuse, stopping};

pub(super) async fn override_breaker(
    State(control): State<mpsc::Sender<Control>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    order(&control, peer, body, "override a breaker", Control::Override).await
}

pub(super) async fn reload(
    State(control): State<mpsc::Sender<Control>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    order(&control, peer, body, "reload the policy file", Control::Reload).await
}

async fn order<O: DeserializeOwned, T: Serialize>(
    control: &mpsc::Sender<Control>,
    peer: Peer,
    body: Result<Bytes, BytesRejection>,
    what: &str,
    question: impl FnOnce(O, Operator, oneshot::Sender<Result<T, String>>) -> Control,
) -> Response {
    let Some(operator) = peer.operator.filter(|operator| operator.uid == ROOT) else {
        return refuse(StatusCode::FORBIDDEN, &format!("only root may {what}; use sudo"));
    };
    let body = match body {
        Ok(body) => body,
        Err(error) => {
            return refuse(
                error.status(),
                &format!("{}: an order is a few lines", error.body_text()),
            );
        }
    };
    let order: O = match serde_json::from_slice(&body) {
        Ok(order) => order,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &format!("malformed order: {error}")),
    };
    match ask(control, |answer| question(order, operator, answer)).await {
        Some(Ok(done)) => Json(done).into_response(),
        Some(Err(error)) => refuse(StatusCode::UNPROCESSABLE_ENTITY, &error),
        None => stopping(),
    }
}

const ROOT: u32 = 0;
