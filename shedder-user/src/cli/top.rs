//! `shedder top`: what the breakers do, live.
//!
//! What comes in (keys, answers of the daemon) is turned into the next view, and the view into a
//! screen; both are functions. Invariant: on every way out the terminal is as it was.

mod detail;
mod feed;
mod history;
mod keys;
mod list;
mod look;
mod order;
mod question;
mod screen;
#[cfg(test)]
mod tests;
mod view;

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::sync::mpsc;

use self::feed::Feed;
use self::look::Look;
use self::screen::Screen;
use self::view::{Command, Input, View};
use super::{Failure, Reach};
use crate::api::Client;
use crate::stop::StopSignals;

/// Watch every breaker live: states, connects, failures, response times, what is shed and why
///
/// Enter shows one endpoint with its latencies and its last changes of state; t, h and r trip, hold and
/// reset it, after asking. FAIL is the failed share of the outcomes in the policy's window, P99 its
/// response time; the curves go from left to right and end now. If the daemon goes away, what was
/// last known stays on the screen until it is back. Where there is no terminal, use `shedder status`.
#[derive(Debug, Args)]
pub(super) struct Top {
    #[command(flatten)]
    reach: Reach,
    /// How often the daemon is asked, from 100ms to 1h
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = pace)]
    every: Duration,
}

impl Top {
    pub(super) fn execute(self) -> Result<(), Failure> {
        screen::require_terminal()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(anyhow::Error::from)?;
        runtime.block_on(watch(Client::new(&self.reach.socket), self.every))
    }
}

/// Shows what comes in until the user, or a signal, ends it.
async fn watch(client: Client, every: Duration) -> Result<(), Failure> {
    // Before the screen is taken, so that from here on every way to be stopped gives it back.
    let mut stop = StopSignals::of_terminal().context("signals cannot be caught")?;
    let first = client.status(None, None).await?;
    let (sender, mut inputs) = mpsc::unbounded_channel();
    let mut screen = Screen::take().context("the terminal cannot be drawn on")?;
    let feed = Feed::start(client, every, sender);
    let mut view = View::new(Look::of_terminal(), every);
    let mut next = Some(Input::status(first));
    loop {
        while let Some(input) = next {
            match view.update(input) {
                Some(Command::Quit) => return Ok(()),
                Some(Command::Fail(error)) => return Err(error.into()),
                Some(Command::Order(order)) => feed.order(order),
                Some(Command::Histogram(of)) => feed.histogram(of),
                None => {}
            }
            next = inputs.try_recv().ok();
        }
        screen.draw(&view).context("the terminal is gone")?;
        next = tokio::select! {
            input = inputs.recv() => input,
            () = stop.received() => return Ok(()),
        };
    }
}

fn pace(text: &str) -> Result<Duration, String> {
    let every = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (Duration::from_millis(100)..=Duration::from_hours(1)).contains(&every) {
        Ok(every)
    } else {
        Err("ask from every 100ms to every 1h".to_owned())
    }
}
