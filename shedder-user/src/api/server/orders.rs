//! What only root may ask for, because it changes something.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shedder_common::time::Monotonic;
use tokio::sync::{mpsc, oneshot};

use super::guests::Refused;
use super::{Control, Operator, Peer, ROOT, ask, refuse, stopping};
use crate::clock;

/// How fast orders may come: each is a line of the journal, and some are work for the loop.
#[derive(Debug)]
pub(super) struct Pace {
    /// How many may be given at once, and as of when.
    left: Mutex<(f64, Monotonic)>,
    refused: Arc<Refused>,
}

impl Pace {
    pub(super) fn new(refused: Arc<Refused>) -> Self {
        Self { left: Mutex::new((BURST, clock::now())), refused }
    }

    fn allows(&self, now: Monotonic) -> bool {
        // What is in there is whole at any time.
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, since) = *left;
        let count = BURST.min(count + now.since(since).as_secs_f64() * A_SECOND);
        let is_allowed = count >= 1.0;
        *left = (if is_allowed { count - 1.0 } else { count }, now);
        if !is_allowed {
            self.refused.fast();
        }
        is_allowed
    }
}

pub(super) async fn override_breaker(
    State(control): State<mpsc::Sender<Control>>,
    giver: Giver,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    order(&control, giver, body, "override a breaker", Control::Override).await
}

pub(super) async fn reload(
    State(control): State<mpsc::Sender<Control>>,
    giver: Giver,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    order(&control, giver, body, "reload the policy file", Control::Reload).await
}

/// Who gives an order, and how fast orders may come.
type Giver = (Extension<Peer>, Extension<Arc<Pace>>);

async fn order<O: DeserializeOwned, T: Serialize>(
    control: &mpsc::Sender<Control>,
    (Extension(peer), Extension(pace)): Giver,
    body: Result<Bytes, BytesRejection>,
    what: &str,
    question: impl FnOnce(O, Operator, oneshot::Sender<Result<T, String>>) -> Control,
) -> Response {
    let Some(operator) = peer.operator.filter(|operator| operator.uid == ROOT) else {
        return refuse(StatusCode::FORBIDDEN, &format!("only root may {what}; use sudo"));
    };
    if !pace.allows(clock::now()) {
        let why = format!("more than {A_SECOND} orders a second; wait a moment, then go on");
        return refuse(StatusCode::TOO_MANY_REQUESTS, &why);
    }
    let body = match body {
        Ok(body) => body,
        Err(error) => {
            pace.refused.large();
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

/// Orders at once, after a while without any.
const BURST: f64 = 1000.0;
const A_SECOND: f64 = 200.0;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn orders_come_in_bursts_and_then_at_a_pace() {
        let refused = Arc::new(Refused::default());
        let pace = Pace::new(Arc::clone(&refused));
        let now = clock::now();
        let allowed = |now| (0..2_000).filter(|_| pace.allows(now)).count();
        assert_eq!((allowed(now), refused.counts().fast), (1000, 1000));
        assert_eq!(allowed(now.plus(Duration::from_secs(2))), 400);
        assert_eq!(allowed(now.plus(Duration::from_hours(2))), 1000);
    }
}
