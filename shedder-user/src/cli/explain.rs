//! `shedder explain`: why a connect was refused.

use std::fmt::Write as _;

use clap::Args;

use super::output::span;
use super::{Failure, Reach};
use crate::api::Subject;
use crate::api::model::{self, Explained, Explanation, Refusal};
use crate::printable::printable;

/// Explain why connects are refused: by which rule, on which numbers, until when, and what would let
/// them through
///
/// Name an endpoint, or a process with --pid. The kernel tells of the first connect each verdict
/// refuses, of the first one it refuses to each process, and of one in 128 of the others; the last 2048
/// of them are kept.
#[derive(Debug, Args)]
pub(super) struct Explain {
    #[command(flatten)]
    reach: Reach,
    /// Address and port, as `shedder status` shows them
    #[arg(required_unless_present = "pid", conflicts_with = "pid")]
    endpoint: Option<String>,
    /// The process whose connect was refused
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Print the whole answer as JSON
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let subject = match (self.pid, self.endpoint) {
            (Some(pid), _) => Subject::Process(pid),
            (None, endpoint) => Subject::Endpoint(endpoint.unwrap_or_default()),
        };
        let explanation = self.reach.ask(async |client| client.explain(&subject).await)?;
        if self.json {
            let json = serde_json::to_string(&explanation).map_err(anyhow::Error::from)?;
            println!("{json}");
        } else {
            print!("{}", text(&explanation, &subject));
        }
        Ok(())
    }
}

fn text(explanation: &Explanation, subject: &Subject) -> String {
    let mut text = String::new();
    for explained in &explanation.breakers {
        text.push_str(&paragraph(explained));
    }
    if explanation.refusals.is_empty() {
        text.push_str(match subject {
            Subject::Endpoint(_) => "No connect to it was refused lately.\n",
            Subject::Process(_) => {
                "No connect of this process was refused lately, as far as was told.\n"
            }
        });
    } else {
        text.push_str("Refused lately:\n");
        for refusal in &explanation.refusals {
            text.push_str(&line(refusal));
        }
    }
    if !explanation.breakers.is_empty() {
        text.push_str("Next: `shedder events` tells what led to this, `shedder why PID` what a process sees.\n");
    }
    text
}

fn paragraph(explained: &Explained) -> String {
    let Explained { breaker, effect, until, remedy, generation, rules: _ } = explained;
    let mut text = format!(
        "{} calling {} at {}{}: {} for {}\n",
        breaker.caller,
        breaker.service,
        breaker.endpoint,
        within(breaker.network.as_deref()),
        breaker.state,
        span(&breaker.since),
    );
    let mut say = |head: &str, what: &str| {
        writeln!(text, "  {head:<8} {what}").expect("to a string");
    };
    if let Some(reason) = &breaker.reason {
        let rule = format!("policy {}, generation {generation}", breaker.policy);
        say("why", &format!("{} ({}; {rule})", reason.text, reason.strategy));
    }
    say("now", effect);
    if let Some(until) = until {
        say("then", until);
    }
    say("instead", remedy);
    let connects = breaker.shed_total + breaker.allowed_total;
    let model::Outcomes { answered, errored, .. } = breaker.outcomes;
    if errored > 0 {
        let answers = answered + errored;
        say("answers", &format!("{errored} of {answers} said that the endpoint failed"));
    }
    say("so far", &format!("{} of {connects} connects were shed", breaker.shed_total));
    let datagrams = &breaker.datagrams;
    if datagrams.seen > 0 {
        let shed = datagrams.refused + datagrams.redirected;
        say("and", &format!("{shed} of {} datagrams were shed", datagrams.seen));
    }
    text.push('\n');
    text
}

fn within(network: Option<&str>) -> String {
    network.map_or_else(String::new, |network| format!(" in {network}"))
}

pub(super) fn line(refusal: &Refusal) -> String {
    let cause = match refusal.cause.as_str() {
        "no_token" => "every probe was taken",
        "not_its_turn" => "only a share goes through",
        "burst" => "the failures in a row had reached the limit",
        _ => "the breaker was open",
    };
    let reason = refusal.reason.as_ref().map_or_else(String::new, |r| format!(": {}", r.text));
    let bound = refusal.source.as_ref().map_or_else(String::new, |at| format!(" from {at}"));
    let by = if refusal.transport == "udp" { " by UDP" } else { "" };
    let cgroup = refusal.cgroup.as_deref().unwrap_or("a cgroup it has left by ending");
    let (cgroup, comm) = (printable(cgroup), printable(&refusal.comm));
    format!(
        "  {} pid {} ({}), user {}, in {cgroup}{bound}: {} to {}{}{by}, because {cause}{reason}\n",
        refusal.at,
        refusal.pid,
        comm,
        refusal.uid,
        refusal.errno,
        refusal.endpoint,
        within(refusal.network.as_deref()),
    )
}
