//! The signals that stop a program which has something to clean up.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Being stopped by a service manager, by Ctrl-C, and where there is one by a terminal that closes.
#[derive(Debug)]
pub(crate) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

impl StopSignals {
    /// Of a daemon, to which a hangup means something else. From here on they no longer end the
    /// process by themselves.
    pub(crate) fn of_service() -> io::Result<Self> {
        let [terminate, interrupt] = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
        Ok(Self { terminate: terminate?, interrupt: interrupt?, hangup: None })
    }

    /// Of a program in a terminal.
    pub(crate) fn of_terminal() -> io::Result<Self> {
        Ok(Self { hangup: Some(signal(SignalKind::hangup())?), ..Self::of_service()? })
    }

    pub(crate) async fn received(&mut self) {
        let Self { terminate, interrupt, hangup } = self;
        let hung_up = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hung_up => {}
        }
    }
}
