//! Connections whose end nobody told: they would count as open for ever, and keep the places of their tags.
//!
//! The programs are told of an end by a flag of the socket, which another program of the cgroup can clear, and by a
//! call that Linux 6.18 was seen to leave out once in some millions. So now and then the kernel's table of sockets is
//! asked which of those that are long open are there.
//!
//! Invariant: a connection is taken to have ended only when the table was read twice, in every network namespace in
//! which the guarded cgroups have processes, and had it neither time. The loop never waits for it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use shedder_common::time::Monotonic;

use super::Daemon;
use super::journal::Journal;
use crate::clock;
use crate::kernel::connections::Connections;
use crate::kernel::{OpenTag, Tags};
use crate::outpost;

/// How far the search is, and how many it found.
#[derive(Debug)]
pub(super) struct Untold {
    next: Monotonic,
    search: Option<JoinHandle<anyhow::Result<Found>>>,
    ended: u64,
    /// What was last complained about.
    complaint: Option<String>,
}

/// What came of one search.
#[derive(Debug)]
struct Found {
    gone: Vec<OpenTag>,
    took: Duration,
}

/// Takes in what was found, and searches again when it is time to.
pub(super) fn advance(daemon: &mut Daemon, now: Monotonic) {
    let Daemon { config, kernel, guard, untold, journal, .. } = daemon;
    if let Some(search) = untold.search.take_if(|search| search.is_finished()) {
        let found = search.join().unwrap_or_else(|_panic| anyhow::bail!("its thread has died"));
        let outcome = found.and_then(|found| {
            // However many sockets there are, this takes no more than a thousandth of a processor.
            untold.next = untold.next.max(now.plus(found.took.saturating_mul(1000)));
            for tag in &found.gone {
                untold.ended += u64::from(kernel.end_untold(tag)?);
            }
            Ok(())
        });
        untold.note(outcome, journal);
    }
    if untold.search.is_some() || now < untold.next {
        return;
    }
    untold.next = now.plus(PERIOD);
    let directories = (0..config.callers.len()).flat_map(|caller| guard.directories(caller, 100));
    let (directories, tags) = (directories.collect(), kernel.tags());
    let before = now.minus(LEAST_AGE);
    // Of the loop's own kind, which may look at maps.
    match Builder::new().name("untold".to_owned()).spawn(move || find(&tags, before, directories)) {
        Ok(search) => untold.search = Some(search),
        Err(error) => untold.note(Err(error).context("no thread can be started"), journal),
    }
}

impl Untold {
    /// The first search is a period ahead: what an earlier daemon left has to be that old anyway.
    pub(super) fn new(now: Monotonic) -> Self {
        Self { next: now.plus(PERIOD), search: None, ended: 0, complaint: None }
    }

    /// Connections that were found to have ended.
    pub(super) const fn ended(&self) -> u64 {
        self.ended
    }

    /// Tells what goes wrong when it begins to, not each time.
    fn note(&mut self, outcome: anyhow::Result<()>, journal: &mut Journal) {
        let complaint = outcome.err().map(|error| format!("{error:#}"));
        if let Some(why) = complaint.as_ref().filter(|why| self.complaint.as_ref() != Some(why)) {
            journal
                .error(&format!("connections whose end was not told stay counted as open: {why}"));
        }
        self.complaint = complaint;
    }
}

/// Those open since `before`, for the programs, whose sockets are gone.
fn find(tags: &Tags, before: Monotonic, directories: Vec<PathBuf>) -> anyhow::Result<Found> {
    let began = clock::now();
    let mut gone = tags.open(before)?;
    if !gone.is_empty() {
        let cookies = gone.iter().map(OpenTag::cookie).collect();
        let asked = outpost::spawn("sockets", move || without_living(cookies, &directories));
        let asked = asked.context("no thread can be started")?;
        let cookies = asked.join().unwrap_or_else(|_panic| anyhow::bail!("its thread has died"))?;
        gone.retain(|tag| cookies.contains(&tag.cookie()));
    }
    Ok(Found { gone, took: clock::now().since(began) })
}

/// A table that changes while it is read may pass over a socket: nobody is passed over twice by chance.
fn without_living(
    mut cookies: BTreeSet<u64>,
    directories: &[PathBuf],
) -> anyhow::Result<BTreeSet<u64>> {
    for _ in 0..2 {
        if cookies.is_empty() {
            break;
        }
        let mut connections = Connections::of(directories);
        connections.strike_out_living(&mut cookies);
        if let Some(trouble) = connections.trouble() {
            anyhow::bail!("{trouble}");
        }
    }
    Ok(cookies)
}

const PERIOD: Duration = Duration::from_secs(30);
/// Most connections are shorter and their ends are told.
const LEAST_AGE: Duration = Duration::from_secs(15);
