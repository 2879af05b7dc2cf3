//! What the view is fed with: keys, and what the daemon says.
//!
//! Invariant: a daemon that goes away, or hangs, is asked again and again; nothing here gives up.

use std::mem::replace;
use std::thread;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event as TerminalEvent};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::view::Input;
use crate::api::model::{BreakerName, Overridden, Override, Status};
use crate::api::{Client, ClientError, Selection};

/// Everything that sends to the view.
#[derive(Debug)]
pub(super) struct Feed {
    client: Client,
    inputs: UnboundedSender<Input>,
}

impl Feed {
    /// Starts all that comes without being asked for.
    pub(super) fn start(client: Client, every: Duration, inputs: UnboundedSender<Input>) -> Self {
        let keys = inputs.clone();
        // Reading a terminal blocks, so it has a thread of its own, which ends with the process.
        thread::spawn(move || read_keys(&keys));
        tokio::spawn(poll(client.clone(), every, inputs.clone()));
        tokio::spawn(follow(client.clone(), inputs.clone()));
        Self { client, inputs }
    }

    /// Gives an order, and looks at once at what came of it.
    pub(super) fn order(&self, order: Override) {
        let (client, inputs) = (self.client.clone(), self.inputs.clone());
        tokio::spawn(async move {
            let answer = within(client.order(&order)).await;
            send(&inputs, Input::Ordered(answer.map(|reached| done(&order, &reached))));
            send(&inputs, answered(within(client.status(None, None)).await));
        });
    }

    /// Asks for the latencies of one breaker.
    pub(super) fn histogram(&self, of: Selection) {
        let (client, inputs) = (self.client.clone(), self.inputs.clone());
        tokio::spawn(async move {
            let answer = within(client.histogram(&of)).await;
            send(&inputs, Input::Histogram(of, answer));
        });
    }
}

async fn poll(client: Client, every: Duration, inputs: UnboundedSender<Input>) {
    let mut turns = interval(every);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first turn comes at once, and the view has its first answer already.
    turns.tick().await;
    while !inputs.is_closed() {
        turns.tick().await;
        send(&inputs, answered(within(client.status(None, None)).await));
    }
}

async fn follow(client: Client, inputs: UnboundedSender<Input>) {
    while !inputs.is_closed() {
        let mut is_first = true;
        let ended = client
            .events(true, |event| {
                inputs
                    .send(Input::Event {
                        event: Box::new(event),
                        is_first: replace(&mut is_first, false),
                    })
                    .is_ok()
            })
            .await;
        // Whatever ended it, the polls tell of it.
        drop(ended);
        sleep(RETRY).await;
    }
}

fn read_keys(inputs: &UnboundedSender<Input>) {
    loop {
        let input = match event::read() {
            Ok(TerminalEvent::Key(key)) if key.is_press() => Input::Key(key),
            Ok(TerminalEvent::Resize(..)) => Input::Resized,
            Ok(_) => continue,
            Err(error) => Input::Deaf(error),
        };
        let is_deaf = matches!(input, Input::Deaf(_));
        if inputs.send(input).is_err() || is_deaf {
            return;
        }
    }
}

fn send(inputs: &UnboundedSender<Input>, input: Input) {
    // Without a view there is nobody left to tell.
    drop(inputs.send(input));
}

async fn within<T>(answer: impl Future<Output = Result<T, ClientError>>) -> Result<T, String> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_elapsed) => Err(format!("the daemon has not answered for {PATIENCE:?}")),
    }
}

fn answered(status: Result<Status, String>) -> Input {
    status.map_or_else(Input::Lost, Input::status)
}

fn done(order: &Override, reached: &Overridden) -> String {
    let names: Vec<String> = reached.breakers.iter().map(BreakerName::to_string).collect();
    format!("{}: {}", order.order.done(), names.join(", "))
}

/// How long an answer may take before the daemon counts as gone.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(1);
