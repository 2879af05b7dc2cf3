//! The tasks that send: one for spans, as episodes end, and one for metrics, each interval.
//!
//! Invariant: whoever hands something over never waits, and everything ends within [`GRACE`] of
//! [`Exporter::finish`].

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::warn;

use super::courier::Verdict;
use super::points::Points;
use super::post::{Outcome, post};
use super::requests::{Sender, refused_points};
use crate::api::Control;
use crate::config::Otlp;
use crate::metrics::Delivered;

use self::tasks::{send_points, send_spans};

mod outage;
mod tasks;

/// What sends to a collector.
#[derive(Debug)]
pub struct Exporter {
    spans: SpanSender,
    spans_task: JoinHandle<()>,
    points_task: JoinHandle<()>,
    collector: Collector,
}

/// Where spans are handed over, and what became of them is counted.
#[derive(Clone, Debug)]
pub struct SpanSender {
    spans: mpsc::Sender<Span>,
    delivered: Shared,
}

/// Written by the tasks, read by the loop; on one thread, so nobody ever waits.
type Shared = Arc<Mutex<Delivered>>;

/// Where to send, and as whom.
#[derive(Clone, Debug)]
struct Collector {
    otlp: Arc<Otlp>,
    sender: Arc<Sender>,
    delivered: Shared,
}

impl Exporter {
    /// Starts the tasks; metrics are asked for by `control`.
    pub fn start(otlp: Otlp, control: mpsc::Sender<Control>) -> Self {
        let delivered = Shared::default();
        let (sender, spans) = mpsc::channel(HANDED_OVER);
        let collector = Collector {
            otlp: Arc::new(otlp),
            sender: Arc::new(Sender::here()),
            delivered: Arc::clone(&delivered),
        };
        Self {
            spans: SpanSender { spans: sender, delivered },
            spans_task: tokio::spawn(send_spans(collector.clone(), spans)),
            points_task: tokio::spawn(send_points(collector.clone(), control)),
            collector,
        }
    }

    /// Where spans go.
    pub fn spans(&self) -> SpanSender {
        self.spans.clone()
    }

    /// Sends what is left and the metrics of the last moment, as far as there is time.
    pub async fn finish(self, last: Points) {
        let Self { spans, spans_task, points_task, collector } = self;
        points_task.abort();
        let delivered = Arc::clone(&spans.delivered);
        // The daemon has dropped its own, so this one is the last.
        drop(spans);
        let points = async {
            for (metrics, count) in last.requests {
                if !collector.send(metrics, count).await {
                    break;
                }
            }
        };
        let both = async { tokio::join!(spans_task, points) };
        let in_time = timeout(GRACE, both).await.is_ok();
        let Delivered { spans, queued, .. } = look(&delivered);
        if queued > 0 || spans.late > 0 {
            warn!(
                spans = queued + spans.late,
                in_time, "the collector has not taken the last spans"
            );
        }
    }
}

impl SpanSender {
    /// Hands a span over, or drops it where too many were handed over at once.
    pub fn send(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            change(&self.delivered, |it| it.spans.full += 1);
        }
    }

    /// What became of everything so far.
    pub fn delivered(&self) -> Delivered {
        look(&self.delivered)
    }
}

impl Collector {
    async fn send_spans(&self, body: Vec<u8>) -> Outcome {
        post(&self.otlp, "/v1/traces", body).await
    }

    /// Sends one request of metrics, once, and says whether the collector has taken it.
    async fn send(&self, metrics: Vec<Metric>, count: u64) -> bool {
        let outcome = post(&self.otlp, "/v1/metrics", self.sender.metrics(metrics)).await;
        matches!(self.count(&outcome, count), Verdict::Taken { .. })
    }

    /// Counts what the collector said to so many points, but not those it may take later.
    fn count(&self, outcome: &Outcome, points: u64) -> Verdict {
        let verdict = verdict(outcome, refused_points);
        change(&self.delivered, |it| match verdict {
            Verdict::Taken { refused } => {
                it.points.taken += points.saturating_sub(refused);
                it.points.refused += refused.min(points);
            }
            Verdict::Refused => it.points.refused += points,
            Verdict::Later(_) => {}
        });
        verdict
    }
}

fn verdict(outcome: &Outcome, refused: impl Fn(&[u8]) -> u64) -> Verdict {
    match outcome {
        Outcome::Taken(answer) => Verdict::Taken { refused: refused(answer) },
        Outcome::Later(after, _) => Verdict::Later(*after),
        Outcome::Refused(_) => Verdict::Refused,
    }
}

fn look(delivered: &Shared) -> Delivered {
    *delivered.lock().unwrap_or_else(PoisonError::into_inner)
}

fn change(delivered: &Shared, change: impl FnOnce(&mut Delivered)) {
    change(&mut delivered.lock().unwrap_or_else(PoisonError::into_inner));
}

/// What no other daemon has: the standard library's hashers are seeded by the system.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// Spans handed over between two turns of the task: more than there are episodes.
const HANDED_OVER: usize = 2048;
/// For the last ones, when the daemon stops.
const GRACE: Duration = Duration::from_secs(2);
