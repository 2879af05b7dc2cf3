//! Who talks to the daemon over the control socket, and who is turned away.
//!
//! Invariant: however many come, and whatever they do or leave undone, root is answered: when all places are
//! taken the oldest guest that is no stream makes room, and users other than root have few places each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum::{Extension, Router};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Peer, ROOT, refuse};
use crate::conversation::{End, Limits, converse};
use crate::leash::Leash;
use crate::metrics::ControlCounts;

/// Clients that were turned away or cut off, since the daemon started.
#[derive(Debug, Default)]
pub struct Refused {
    full: AtomicU64,
    slow: AtomicU64,
    large: AtomicU64,
    fast: AtomicU64,
}

impl Refused {
    /// As the metrics tell it.
    pub fn counts(&self) -> ControlCounts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Self { full, slow, large, fast } = self;
        ControlCounts { full: of(full), slow: of(slow), large: of(large), fast: of(fast) }
    }

    /// There was no room for one.
    pub(super) fn full(&self) {
        self.full.fetch_add(1, Ordering::Relaxed);
    }

    /// One asked or read too slowly.
    pub(super) fn slow(&self) {
        self.slow.fetch_add(1, Ordering::Relaxed);
    }

    /// One sent too much.
    pub(super) fn large(&self) {
        self.large.fetch_add(1, Ordering::Relaxed);
    }

    /// One gave orders too fast.
    pub(super) fn fast(&self) {
        self.fast.fetch_add(1, Ordering::Relaxed);
    }
}

/// Those who talk now.
#[derive(Debug)]
pub(super) struct Guests {
    routes: Router,
    refused: Arc<Refused>,
    /// Oldest first.
    present: Vec<Guest>,
    talks: JoinSet<(u64, End)>,
    next: u64,
    turned_away: usize,
}

#[derive(Debug)]
struct Guest {
    number: u64,
    uid: Option<u32>,
    leash: Arc<Leash>,
}

impl Guests {
    pub(super) fn new(routes: Router, refused: Arc<Refused>) -> Self {
        let (present, talks) = (Vec::new(), JoinSet::new());
        Self { routes, refused, present, talks, next: 1, turned_away: 0 }
    }

    /// Talks to one more, or turns it away with an answer; with none where too many are being turned away.
    pub(super) fn welcome(&mut self, stream: UnixStream) {
        while let Some(Ok(done)) = self.talks.try_join_next() {
            self.leave(done);
        }
        let peer = Peer::of(&stream);
        let uid = peer.uid();
        if uid != Some(ROOT) && self.present.iter().filter(|it| it.uid == uid).count() >= SHARE {
            self.turn_away(stream);
            return;
        }
        if self.present.len() >= AT_ONCE {
            self.refused.full();
            // There are fewer streams than places.
            if let Some(oldest) = self.present.iter().position(|guest| !guest.leash.is_out()) {
                self.present.remove(oldest).leash.cut();
            }
        }
        let leash = Arc::new(Leash::default());
        let number = self.next;
        self.next += 1;
        self.present.push(Guest { number, uid, leash: Arc::clone(&leash) });
        let routes =
            self.routes.clone().layer(Extension(peer)).layer(Extension(Arc::clone(&leash)));
        self.talks.spawn(async move { (number, converse(stream, routes, leash, LIMITS).await) });
    }

    /// Ready when one has gone; never while there is none.
    pub(super) async fn next_gone(&mut self) {
        match self.talks.join_next().await {
            Some(Ok(done)) => self.leave(done),
            Some(Err(_cancelled)) => {}
            None => std::future::pending().await,
        }
    }

    /// Ready when all have gone, those who have not even asked by now too.
    pub(super) async fn all_gone(mut self) {
        if timeout(GRACE, self.each_gone()).await.is_err() {
            let undecided = self.present.iter().filter(|guest| !guest.leash.is_out());
            undecided.for_each(|guest| guest.leash.cut());
            self.each_gone().await;
        }
    }

    async fn each_gone(&mut self) {
        while let Some(done) = self.talks.join_next().await {
            if let Ok(done) = done {
                self.leave(done);
            }
        }
    }

    fn leave(&mut self, (number, end): (u64, End)) {
        if number == NOBODY {
            self.turned_away -= 1;
            return;
        }
        let known = self.present.iter().position(|guest| guest.number == number);
        if let Some(place) = known {
            self.present.remove(place);
        }
        match end {
            End::Over => {}
            // Who made room is counted as such, and who follows by the stream.
            End::Slow if known.is_none() => {}
            End::Slow => self.refused.slow(),
            End::Large => self.refused.large(),
        }
    }

    fn turn_away(&mut self, stream: UnixStream) {
        self.refused.full();
        if self.turned_away >= AT_ONCE {
            return;
        }
        self.turned_away += 1;
        let why = format!("{SHARE} clients of yours talk to the daemon already; end one of them");
        let routes =
            Router::new().fallback(async move || refuse(StatusCode::SERVICE_UNAVAILABLE, &why));
        self.talks.spawn(async move {
            (NOBODY, converse(stream, routes, Arc::default(), TURNED_AWAY).await)
        });
    }
}

/// One conversation, as with a guest that came alone.
#[cfg(any(test, fuzzing))]
pub(super) async fn converse_with(stream: tokio::io::DuplexStream, routes: Router, peer: Peer) {
    let leash = Arc::new(Leash::default());
    let routes = routes.layer(Extension(peer)).layer(Extension(Arc::clone(&leash)));
    let _end = converse(stream, routes, leash, LIMITS).await;
}

/// Clients at once.
const AT_ONCE: usize = 64;
/// Of one user other than root.
const SHARE: usize = 8;
/// The number of who is turned away.
const NOBODY: u64 = 0;
const LIMITS: Limits = Limits {
    headers_within: Duration::from_secs(2),
    // The status of tens of thousands of endpoints takes a while on a busy node.
    life: Duration::from_secs(10),
    max_head_bytes: 16 * 1024,
};
/// For those who are being answered when the daemon stops.
const GRACE: Duration = Duration::from_millis(200);
const TURNED_AWAY: Limits = Limits { life: Duration::from_secs(1), ..LIMITS };
