//! `shedder why`: from the application's side, what it cannot reach now and what to do about it.
//!
//! Invariant: it asks nothing of the daemon that `status` and `explain` do not, and says so where a
//! process is none of shedder's business.

use clap::Args;

use self::process::Process;
use super::{Failure, Reach};
use crate::api::Subject;
use crate::api::model::{Explained, Refusal, Status};

mod process;
mod text;

/// Tell what an application cannot reach now, why, until when, what it sees, and what to do
///
/// Name a process by its number or its name (all processes of that name), or an endpoint as
/// `shedder status` shows it. `shedder explain` answers the same from the breaker's side.
#[derive(Debug, Args)]
pub(super) struct Why {
    #[command(flatten)]
    reach: Reach,
    /// A process number, a process name, or address and port
    #[arg(value_name = "PID|NAME|ENDPOINT")]
    subject: String,
}

/// What the daemon said.
#[derive(Debug)]
struct Answer {
    status: Status,
    /// Of every endpoint that is shed to somebody, and of the one asked about.
    explained: Vec<Explained>,
    /// Newest first.
    refusals: Vec<Refusal>,
}

impl Why {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let Self { reach, subject } = self;
        if subject.contains(':') {
            let answer = ask(&reach, &[], Some(&subject))?;
            print!("{}", text::about_endpoint(&answer));
            return Ok(());
        }
        let processes = process::find(&subject)?;
        let answer = ask(&reach, &processes, None)?;
        print!("{}", text::about_processes(&answer, &processes));
        Ok(())
    }
}

fn ask(reach: &Reach, processes: &[Process], endpoint: Option<&str>) -> Result<Answer, Failure> {
    reach.ask(async |client| {
        let status = client.status(None, None).await?;
        let mut explained = Vec::new();
        let mut refusals = Vec::new();
        if let Some(endpoint) = endpoint {
            let about = client.explain(&Subject::Endpoint(endpoint.to_owned())).await?;
            explained = about.breakers;
            refusals = about.refusals;
        } else {
            for endpoint in text::shed_endpoints(&status) {
                // One that was forgotten meanwhile sheds nothing any more.
                if let Ok(about) = client.explain(&Subject::Endpoint(endpoint)).await {
                    explained.extend(about.breakers);
                }
            }
        }
        for process in processes.iter().take(ASKED_ABOUT) {
            refusals.extend(client.explain(&Subject::Process(process.pid)).await?.refusals);
        }
        refusals.sort_by(|a, b| b.at.cmp(&a.at));
        Ok(Answer { status, explained, refusals })
    })
}

/// Of a name that a thousand processes have, so many are asked about one by one.
const ASKED_ABOUT: usize = 64;
