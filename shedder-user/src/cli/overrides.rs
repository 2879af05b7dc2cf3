//! `shedder trip`, `hold` and `reset`: an operator's orders.

use std::time::Duration;

use clap::Args;

use super::{Failure, Reach};
use crate::api::model::{Order, Override};

/// Only root may give orders, and every order ends by itself.
#[derive(Debug, Args)]
pub(super) struct Timed {
    #[command(flatten)]
    target: Target,
    /// How long, from 100ms to 24h
    #[arg(long = "for", value_name = "DURATION", default_value = "5m", value_parser = humantime::parse_duration)]
    duration: Duration,
}

/// Only root may give orders.
#[derive(Debug, Args)]
pub(super) struct Reset {
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
struct Target {
    #[command(flatten)]
    reach: Reach,
    /// Address and port, as `shedder status` shows them
    endpoint: String,
    /// Only for this caller; for every caller otherwise
    #[arg(long, value_name = "NAME")]
    caller: Option<String>,
    /// Only in this network namespace, as `shedder status` shows it: net:[4026531840]
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
}

impl Timed {
    pub(super) fn execute(self, order: Order) -> Result<(), Failure> {
        let milliseconds = u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX);
        self.target.order(order, Some(milliseconds))
    }
}

impl Reset {
    pub(super) fn execute(self) -> Result<(), Failure> {
        self.target.order(Order::Reset, None)
    }
}

impl Target {
    fn order(self, order: Order, for_ms: Option<u64>) -> Result<(), Failure> {
        let Self { reach, endpoint, caller, network } = self;
        let request = Override { order, endpoint, caller, network, for_ms };
        let reached = reach.ask(async |client| client.order(&request).await)?;
        let done = order.done();
        let span = for_ms.map(Duration::from_millis).map_or_else(String::new, |duration| {
            format!(" for {}", humantime::format_duration(duration))
        });
        for breaker in reached.breakers {
            println!("{done}{span}: {breaker}");
        }
        Ok(())
    }
}
