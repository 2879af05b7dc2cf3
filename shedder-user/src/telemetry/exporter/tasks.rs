//! What the two tasks do all day.
//!
//! Invariant: each has one request under way at most, and what comes meanwhile is taken in.

use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::Span;
use shedder_common::time::Monotonic;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until};

use super::super::courier::{Courier, Verdict};
use super::super::post::post;
use super::super::requests::refused_spans;
use super::super::retries::Retries;
use super::outage::Outage;
use super::{Collector, Shared, change, random, verdict};
use crate::api::Control;
use crate::clock;
use crate::engine::Chance;
use crate::metrics::Fate;

/// Sends spans until nobody hands over any more and all are taken or dropped.
pub(super) async fn send_spans(collector: Collector, mut spans: mpsc::Receiver<Span>) {
    let mut courier = Courier::new(random());
    let mut outage = Outage::new("spans", &collector.otlp);
    let mut sending = None;
    let mut is_open = true;
    let mut before = Fate::default();
    loop {
        let now = clock::now();
        if let Some(batch) = courier.next(now) {
            let body = collector.sender.spans(batch);
            sending = Some(Box::pin(collector.send_spans(body)));
        }
        before = publish(&collector.delivered, &courier, before);
        if !is_open && courier.kept() == 0 {
            return;
        }
        tokio::select! {
            span = spans.recv(), if is_open => if let Some(span) = span {
                courier.push(span, clock::now());
            } else {
                is_open = false;
                courier.close(clock::now());
            },
            outcome = async { sending.as_mut().expect("it is guarded").await }, if sending.is_some() => {
                sending = None;
                let verdict = verdict(&outcome, refused_spans);
                let kept = courier.judge(verdict, clock::now());
                outage.hear(&outcome, kept.is_some(), || format!("{} are kept", courier.kept()));
            }
            () = wait(courier.due()), if sending.is_none() && courier.due().is_some() => {}
        }
    }
}

/// Adds what the courier has counted since `before` to what everybody sees; what it has counted now.
fn publish(delivered: &Shared, courier: &Courier, before: Fate) -> Fate {
    let now = courier.fate();
    change(delivered, |it| {
        it.spans.taken += now.taken - before.taken;
        it.spans.full += now.full - before.full;
        it.spans.refused += now.refused - before.refused;
        it.spans.late += now.late - before.late;
        it.queued = courier.kept() as u64;
    });
    now
}

/// Asks for metrics and sends them, as long as somebody answers.
pub(super) async fn send_points(collector: Collector, control: mpsc::Sender<Control>) {
    let mut chance = Chance::new(random());
    let mut outage = Outage::new("metrics", &collector.otlp);
    let period = collector.otlp.interval;
    // Nodes that start together spread out.
    let offset = Duration::from_millis(chance.next() % 1000).min(period);
    let mut ticks = interval_at(Instant::now() + offset, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (answer, points) = oneshot::channel();
        if control.send(Control::Points(answer)).await.is_err() {
            return;
        }
        let Ok(points) = points.await else { continue };
        let mut requests = points.requests.into_iter();
        while let Some((metrics, count)) = requests.next() {
            let mut retries = Retries::default();
            let body = collector.sender.metrics(metrics);
            let is_away = loop {
                let outcome = post(&collector.otlp, "/v1/metrics", body.clone()).await;
                let verdict = collector.count(&outcome, count);
                let Verdict::Later(asked) = verdict else {
                    outage.hear(&outcome, false, String::new);
                    break false;
                };
                // What comes after the next metrics are due is of no use.
                let wait = retries.next(asked, &mut chance).filter(|wait| *wait < period);
                let Some(wait) = wait else {
                    outage.hear(&outcome, true, || "the next ones tell the same".to_owned());
                    break true;
                };
                sleep(wait).await;
            };
            if is_away {
                let rest: u64 = requests.map(|(_, count)| count).sum();
                change(&collector.delivered, |it| it.points.late += count + rest);
                break;
            }
        }
    }
}

async fn wait(until: Option<Monotonic>) {
    let wait = until.map_or(Duration::ZERO, |until| until.since(clock::now()));
    sleep_until(Instant::now() + wait).await;
}
