//! `shedder record`: what the engine is shown, into a file.
//!
//! Invariant: whatever ends it, the file holds whole frames; it says so where it can.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, IsTerminal as _, Write as _, stderr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use tokio::time::{Instant, sleep, sleep_until};

use super::output::bytes;
use super::{Failure, Reach};
use crate::api::{Client, Recording};
use crate::recording::{Frame, HEAD, MOST_SECONDS, Problem, check_head, encode, split};
use crate::stop::StopSignals;

/// Record what the daemon sees of each endpoint, second by second, into a file for `shedder replay`
///
/// Counts by outcome, latencies as histograms, what waits and for how long, what was shed, and each
/// change of state; no addresses but those of endpoints, nothing of what is sent. A busy cell takes
/// some 50 bytes a second, and while nobody records nothing is done.
///
/// Ends after `--for`, on Ctrl-C, or after seven days. When the daemon goes away, it is waited for, for
/// a minute; the file then says that it began anew. Record while policies only observe, where
/// you can: what a breaker sheds leaves no evidence of what it would have met.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Record {
    #[command(flatten)]
    reach: Reach,
    /// The file to write; `docs/recording.md` describes its format
    file: PathBuf,
    /// How long, such as 90s or 2h; until Ctrl-C otherwise
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    lasting: Option<Duration>,
    /// Only the endpoints of this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Write over a file that exists
    #[arg(long)]
    force: bool,
}

/// The file, and what is in it.
struct Tape {
    file: File,
    /// What came and is no whole frame yet.
    pending: Vec<u8>,
    /// Whether the head of the present stream has come.
    is_begun: bool,
    written: u64,
    cells: u64,
    changes: u64,
    lost: u64,
    /// Whether somebody is shown how far it is.
    shows: bool,
}

/// Why a stream ends.
enum Break {
    /// It is enough.
    Done,
    /// The daemon has gone.
    Gone,
}

impl Record {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(anyhow::Error::from)?.block_on(self.record())
    }

    async fn record(self) -> Result<(), Failure> {
        let name = self.file.display().to_string();
        if !self.force && self.file.exists() {
            return Err(exists(&name).into());
        }
        let client = Client::new(&self.reach.socket);
        let mut stop = StopSignals::of_terminal().context("signals cannot be caught")?;
        // Before the file is made: a daemon that is not there leaves none behind.
        let mut stream = client.record(self.service.as_deref()).await?;
        let mut tape = Tape::create(&self, &name)?;
        let most = Duration::from_secs(MOST_SECONDS);
        let lasting = self.lasting.map_or(most, |lasting| lasting.min(most));
        let begun = Instant::now();
        let end = begun + lasting;
        let mut trouble = None;
        loop {
            let next = tape.follow(&mut stream, &mut stop, begun, end).await;
            match next.with_context(|| format!("{name} ends here"))? {
                Break::Done => break,
                Break::Gone => {}
            }
            tape.say(&format!("the daemon has gone after {}; waiting for it", since(begun)));
            match self.wait(&client, &mut stop, end).await {
                Ok(Some(again)) => stream = again,
                Ok(None) => break,
                Err(error) => {
                    trouble = Some(error);
                    break;
                }
            }
            tape.say("the daemon is back; recording goes on");
        }
        if tape.written == 0 {
            std::fs::remove_file(&self.file).with_context(|| format!("{name} is empty"))?;
            let error = anyhow!(
                "nothing was told within {}, so there is no {name}: a second is told when it is over; record for longer",
                since(begun)
            );
            return Err(trouble.unwrap_or_else(|| error.into()));
        }
        tape.end().with_context(|| format!("{name} cannot be written"))?;
        let size = bytes(tape.written);
        let Tape { cells, changes, lost, .. } = tape;
        println!("{name}: {}, {cells} cells, {changes} changes of state, {size}", since(begun));
        if lost > 0 {
            println!("{lost} seconds were lost: this machine was too slow to take them");
        }
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        println!("try: shedder replay {name} --policy FILE");
        Ok(())
    }

    /// Asks again until the daemon answers; nothing when it is enough meanwhile.
    async fn wait(
        &self,
        client: &Client,
        stop: &mut StopSignals,
        end: Instant,
    ) -> Result<Option<Recording>, Failure> {
        let patience = Instant::now() + PATIENCE;
        loop {
            tokio::select! {
                () = stop.received() => return Ok(None),
                () = sleep_until(end) => return Ok(None),
                () = sleep(PAUSE) => {}
            }
            match client.record(self.service.as_deref()).await.map_err(Failure::from) {
                Ok(stream) => return Ok(Some(stream)),
                Err(Failure::Unreachable(_)) if Instant::now() < patience => {}
                Err(failure) => return Err(failure),
            }
        }
    }
}

impl Tape {
    fn create(record: &Record, name: &str) -> anyhow::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).create_new(!record.force);
        let file = options.open(&record.file).map_err(|error| {
            if error.kind() == ErrorKind::AlreadyExists {
                return exists(name);
            }
            anyhow::Error::from(error).context(format!("{name} cannot be made"))
        })?;
        Ok(Self {
            file,
            pending: Vec::new(),
            is_begun: false,
            written: 0,
            cells: 0,
            changes: 0,
            lost: 0,
            shows: stderr().is_terminal(),
        })
    }

    /// Writes what comes until it is enough or nothing comes any more.
    async fn follow(
        &mut self,
        stream: &mut Recording,
        stop: &mut StopSignals,
        begun: Instant,
        end: Instant,
    ) -> anyhow::Result<Break> {
        self.pending.clear();
        self.is_begun = false;
        loop {
            let more = tokio::select! {
                () = stop.received() => return Ok(Break::Done),
                () = sleep_until(end) => return Ok(Break::Done),
                more = stream.next() => more,
            };
            // A daemon that is killed breaks off where one that stops ends.
            let Ok(Some(more)) = more else { return Ok(Break::Gone) };
            self.pending.extend_from_slice(&more);
            self.write_whole_frames()?;
            if self.shows {
                let (cells, size) = (self.cells, bytes(self.written));
                eprint!("\r{}: {cells} cells, {size} \x1b[K", since(begun));
            }
        }
    }

    fn write_whole_frames(&mut self) -> anyhow::Result<()> {
        let mut taken = 0;
        if !self.is_begun {
            if self.pending.len() < HEAD.len() {
                return Ok(());
            }
            check_head(&self.pending).map_err(not_understood)?;
            self.is_begun = true;
            taken = HEAD.len();
            if self.written == 0 {
                self.write(&HEAD)?;
            }
        }
        let whole = taken;
        while let Some((frame, length)) = split(&self.pending[taken..]).map_err(not_understood)? {
            taken += length;
            match frame {
                Frame::Cell(_) => self.cells += 1,
                Frame::Change(_) => self.changes += 1,
                Frame::Lost(seconds) => self.lost += seconds,
                Frame::Start(_)
                | Frame::Second { .. }
                | Frame::Gone(_)
                | Frame::End
                | Frame::Unknown(_) => {}
            }
        }
        let pending = std::mem::take(&mut self.pending);
        self.write(&pending[whole..taken])?;
        self.pending.extend_from_slice(&pending[taken..]);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.file.write_all(bytes).context("the file cannot be written")?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn end(&mut self) -> anyhow::Result<()> {
        let mut end = Vec::new();
        encode(&Frame::End, &mut end);
        self.write(&end)?;
        if self.shows {
            eprint!("\r\x1b[K");
        }
        Ok(self.file.sync_all()?)
    }

    fn say(&self, text: &str) {
        let begin = if self.shows { "\r\x1b[K" } else { "" };
        eprintln!("{begin}{text}");
    }
}

fn exists(name: &str) -> anyhow::Error {
    anyhow!("{name} exists already; name another file, or write over it with --force")
}

fn not_understood(problem: Problem) -> anyhow::Error {
    anyhow!("the daemon sends what this version does not understand: {problem}")
}

fn since(begun: Instant) -> String {
    humantime::format_duration(Duration::from_secs(begun.elapsed().as_secs())).to_string()
}

const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(250);
const EXAMPLES: &str = "Examples:
  shedder record monday.rec --for 2h
  shedder record db.rec --service db
  shedder replay monday.rec --policy new.toml --policy default --svg monday.svg";
