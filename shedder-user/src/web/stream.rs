//! What goes on, as server-sent events: a glance each second, and each event as it happens.
//!
//! Invariant: the loop is asked once a second for all who look on together, and not at all when nobody
//! does; whoever does not keep up is dropped and may come back.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::channel::{Channel, Sender};
use serde::Serialize;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};

use super::ask;
use crate::api::{Control, Follow, refuse};
use crate::leash::Leash;

/// What all who look on share.
#[derive(Debug)]
pub(super) struct Looks {
    control: mpsc::Sender<Control>,
    glances: watch::Receiver<Bytes>,
    /// Somebody begins to look on.
    somebody: Arc<Notify>,
    places: Arc<Semaphore>,
}

impl Looks {
    pub(super) fn new(control: mpsc::Sender<Control>) -> Arc<Self> {
        let (sender, glances) = watch::channel(Bytes::new());
        let somebody = Arc::new(Notify::new());
        tokio::spawn(look(control.clone(), sender, Arc::clone(&somebody)));
        let places = Arc::new(Semaphore::new(AT_ONCE));
        Arc::new(Self { control, glances, somebody, places })
    }
}

/// Looks once a second, while somebody looks on; ends with the daemon's loop.
async fn look(
    control: mpsc::Sender<Control>,
    glances: watch::Sender<Bytes>,
    somebody: Arc<Notify>,
) {
    while !control.is_closed() {
        // One receiver is kept for those to come.
        if glances.receiver_count() <= 1 {
            tokio::select! {
                () = somebody.notified() => {}
                () = control.closed() => return,
            }
        }
        if let Some(glance) = ask(&control, Control::Glance).await {
            glances.send_replace(frame("glance", &glance));
        }
        sleep(EVERY).await;
    }
}

pub(super) async fn follow(
    State(looks): State<Arc<Looks>>,
    Extension(leash): Extension<Arc<Leash>>,
) -> Response {
    let Ok(place) = Arc::clone(&looks.places).try_acquire_owned() else {
        let why = format!("{AT_ONCE} look on already; close one of their pages");
        return refuse(StatusCode::SERVICE_UNAVAILABLE, &why);
    };
    let Some(events) = ask(&looks.control, Control::Events).await else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the daemon's loop does not answer");
    };
    let mut glances = looks.glances.clone();
    glances.mark_unchanged();
    looks.somebody.notify_one();
    leash.let_out();
    let (sender, body) = Channel::<Bytes>::new(1);
    tokio::spawn(async move {
        tell(events, glances, sender, place).await;
        leash.cut();
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::new(body)).into_response()
}

/// Tells one client until it is gone, too slow, or the daemon ends.
async fn tell(
    events: Follow,
    mut glances: watch::Receiver<Bytes>,
    mut sender: Sender<Bytes>,
    _place: OwnedSemaphorePermit,
) {
    let Follow { past, mut future } = events;
    let mut next = frame("past", &past);
    loop {
        match timeout(PATIENCE, sender.send_data(next)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
        next = tokio::select! {
            event = future.recv() => match event {
                Ok(event) => frame("event", &event),
                // It was too slow, or the daemon ends; who comes back is told all that is kept.
                Err(_) => return,
            },
            changed = glances.changed() => match changed {
                Ok(()) => glances.borrow_and_update().clone(),
                Err(_) => return,
            },
        };
    }
}

/// JSON has no line ends, so one line of data holds it.
fn frame(name: &str, what: &impl Serialize) -> Bytes {
    let json = serde_json::to_string(what).expect("what is told has only text keys");
    format!("event: {name}\ndata: {json}\n\n").into()
}

/// Clients that look on at once.
const AT_ONCE: usize = 8;
const EVERY: Duration = Duration::from_secs(1);
/// How long a client may take to make room for the next frame.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::api::model::Glance;

    fn glance() -> Glance {
        let node = serde_json::json!({
            "version": "0", "pid": 1, "started": "", "tick_ms": 100, "verdict_ttl_ms": 3000, "cgroups": [],
            "endpoints": 0, "max_endpoints": 1, "events_lost": 0, "events_undecodable": 0, "untagged": 0,
            "actions_failed": 0, "degradations": [],
        });
        let node = serde_json::from_value(node).expect("a node");
        Glance { at: String::new(), breakers: Vec::new(), others: 0, node }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn one_look_serves_all_and_nobody_needs_none() {
        let (control, mut questions) = mpsc::channel(1);
        let looked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&looked);
        tokio::spawn(async move {
            while let Some(question) = questions.recv().await {
                let Control::Glance(answer) = question else { continue };
                count.fetch_add(1, Ordering::Relaxed);
                drop(answer.send(glance()));
            }
        });
        let looks = Looks::new(control);
        sleep(Duration::from_millis(50)).await;
        assert_eq!(looked.load(Ordering::Relaxed), 0, "nobody looks on");
        let mut lookers = [(); 3].map(|()| looks.glances.clone());
        looks.somebody.notify_one();
        for looker in &mut lookers {
            for _ in 0..2 {
                looker.changed().await.expect("it looks");
                assert!(looker.borrow_and_update().starts_with(b"event: glance\ndata: {"));
            }
        }
        let asked = looked.load(Ordering::Relaxed);
        assert!((2..=4).contains(&asked), "{asked} looks for three who saw two each");
        drop(lookers);
        sleep(EVERY + Duration::from_millis(200)).await;
        let asked = looked.load(Ordering::Relaxed);
        sleep(EVERY + Duration::from_millis(200)).await;
        assert_eq!(looked.load(Ordering::Relaxed), asked, "nobody looks on any more");
    }
}
