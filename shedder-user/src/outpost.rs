//! Threads for work in other network namespaces. They keep what entering one takes, which the threads
//! that talk to clients give up.
//!
//! Invariant: what is done here is fed by the kernel and the daemon's own state, never by what a client sent.

use std::io;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};

type Job = Box<dyn FnOnce() + Send>;

/// Begins the thread from which those of [`spawn`] descend; `equip` is the first thing it does. To be
/// called once, before the caller gives up what they are to keep.
pub(crate) fn begin(equip: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let (sender, jobs) = channel::<Job>();
    Builder::new().name("outpost".to_owned()).spawn(move || {
        equip();
        for job in jobs {
            job();
        }
    })?;
    // Whoever comes second changes nothing: the first one goes on.
    drop(OUTPOST.set(sender));
    Ok(())
}

/// A thread that may enter other network namespaces; where no outpost was begun, one like the caller's.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let thread = Builder::new().name(name.to_owned());
    let Some(outpost) = OUTPOST.get() else { return thread.spawn(work) };
    let (sender, started) = channel();
    let gone = |_| io::Error::other("the thread it descends from has ended");
    outpost.send(Box::new(move || drop(sender.send(thread.spawn(work))))).map_err(gone)?;
    started.recv().unwrap_or_else(|_gone| Err(io::Error::other("its thread cannot be started")))
}

/// A thread's children have what it has, so there is one for the whole process.
static OUTPOST: OnceLock<Sender<Job>> = OnceLock::new();
