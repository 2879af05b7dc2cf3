//! What a daemon tells those who follow its events.
//!
//! Invariant: events come in their order, and the client that follows ends with its value.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use shedder_user::api::model::{Event, EventKind};

use super::PATIENCE;
use crate::clock::now;

/// What happens, from the daemon's first event on.
#[derive(Debug)]
pub struct Events {
    process: Child,
    lines: Receiver<String>,
}

impl Events {
    /// Follows what a client prints, one event a line.
    pub(super) fn follow(mut client: Command) -> Result<Self> {
        // That the daemon goes away is for the test to find out.
        let mut process = client.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let output = process.stdout.take().expect("standard output is piped");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { process, lines })
    }

    /// The next event, if there is one within `patience`.
    pub fn next_within(&self, patience: Duration) -> Result<Option<Event>> {
        match self.lines.recv_timeout(patience) {
            Ok(line) => Ok(Some(serde_json::from_str(&line).context(line)?)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("the daemon's events have ended"),
        }
    }

    /// The next event for which `wanted` gives something.
    pub fn wait_for<T>(&self, wanted: impl FnMut(&Event) -> Option<T>) -> Result<T> {
        self.wait_at_most(PATIENCE, wanted)
    }

    /// As [`Events::wait_for`], for what takes longer.
    pub fn wait_at_most<T>(
        &self,
        patience: Duration,
        mut wanted: impl FnMut(&Event) -> Option<T>,
    ) -> Result<T> {
        let deadline = now() + patience;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let event: Event = serde_json::from_str(&line).context(line)?;
                    if let Some(found) = wanted(&event) {
                        return Ok(found);
                    }
                    seen.push(event.text);
                }
                Err(RecvTimeoutError::Timeout) => bail!("waited in vain; there were {seen:#?}"),
                Err(RecvTimeoutError::Disconnected) => bail!("events ended; there were {seen:#?}"),
            }
        }
    }

    /// Waits until the breaker of `endpoint` moves to `state`; the reason in one sentence.
    pub fn wait_for_state(&self, endpoint: SocketAddr, state: &str) -> Result<String> {
        let wanted = endpoint.to_string();
        self.wait_for(|event| {
            let EventKind::Transition { endpoint, to, reason, .. } = &event.kind else {
                return None;
            };
            (*endpoint == wanted && to == state).then(|| reason.text.clone())
        })
        .with_context(|| format!("{endpoint} should become {state}"))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
