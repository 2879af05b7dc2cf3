//! The calling process's side: reads orders, carries them out, replies.
//!
//! Invariant: one thread between orders, so that it may fork, and no socket but those asked for.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::os::unix::net::UnixDatagram;

use anyhow::{Context, Result, bail};
use socket2::Socket;

use super::burst::{Tally, burst};
use super::crowd::crowd;
use super::kind::Kind;
use super::protocol::{Order, Reply};
use super::storm::storm;
use super::{datagram, lives, passing, reuse, tcp, tcp_option};

/// Serves a [`super::Caller`] until its orders end. The process must have one thread only.
pub fn serve(orders: impl BufRead, mut replies: impl Write) -> Result<()> {
    let mut worker = Worker::default();
    for order in orders.lines() {
        let order = serde_json::from_str(&order?).context("an order cannot be read")?;
        let reply = worker.obey(&order).map_err(|error| format!("{error:#}"));
        let mut line = serde_json::to_string(&reply)?;
        line.push('\n');
        replies.write_all(line.as_bytes())?;
        replies.flush()?;
    }
    Ok(())
}

#[derive(Default)]
struct Worker {
    connections: BTreeMap<u64, Socket>,
    opened: u64,
    /// Where another process gives its socket.
    passage: Option<UnixDatagram>,
}

impl Worker {
    fn obey(&mut self, order: &Order) -> Result<Reply> {
        Ok(match *order {
            Order::Connect { addr, ref options } => Reply::Attempt(tcp::attempt(addr, options)?),
            Order::Call { addr, ref kind, calls, timeout } => {
                let calls = (0..calls).map(|_| tcp::call(addr, kind, timeout));
                Reply::Calls(calls.collect::<Result<_, _>>()?)
            }
            Order::Storm { addr, processes, timeout } => {
                Reply::Calls(storm(processes, || tcp::call(addr, &Kind::Blocking, timeout))?)
            }
            Order::Crowd { addr, threads, timeout } => Reply::Calls(crowd(addr, threads, timeout)?),
            Order::Burst { ref addrs, rounds, processes } => {
                Reply::Tally(Tally::sum(storm(processes, || burst(addrs, rounds))?))
            }
            Order::Prepare { addr, ref kind } => Reply::Opened(self.keep(kind.socket(addr)?)),
            Order::PrepareBeside { connection, addr, places } => Reply::Opened(
                self.keep(reuse::prepare_beside(self.kept(connection)?, addr, places)?),
            ),
            Order::ConnectWith { connection, addr, timeout } => {
                Reply::Attempt(reuse::connect_with(self.kept(connection)?, addr, timeout)?)
            }
            Order::Open { addr, timeout } => match tcp::open(addr, timeout)? {
                Ok(socket) => Reply::Opened(self.keep(socket)),
                Err(cause) => bail!("{cause} at connect"),
            },
            Order::Start { addr } => {
                let (socket, returned) = reuse::start(addr)?;
                Reply::Started(self.keep(socket), returned)
            }
            Order::Reconnect { connection, addr, timeout } => {
                Reply::Attempt(reuse::reconnect(self.kept(connection)?, addr, timeout)?)
            }
            Order::Request { connection, timeout } => {
                Reply::Calls(vec![tcp::request(self.kept(connection)?, timeout)])
            }
            Order::LastRequest { connection, timeout } => {
                Reply::Calls(vec![tcp::last_request(self.kept(connection)?, timeout)])
            }
            Order::Exchange { connection, to, timeout } => {
                Reply::Exchange(datagram::exchange(self.kept(connection)?, to, timeout)?)
            }
            Order::AwaitEnd { connection, timeout } => {
                Reply::Ended(tcp::await_end(self.kept(connection)?, timeout))
            }
            Order::Peer { connection } => {
                let peer = self.kept(connection)?.peer_addr()?;
                Reply::Peer(peer.as_socket().context("a peer has an address")?)
            }
            Order::SynCount { connection } => {
                let count = tcp_option::read(self.kept(connection)?, libc::TCP_SYNCNT)?;
                Reply::SynCount(count.cast_unsigned())
            }
            Order::SetSynCount { connection, count } => {
                let count = count.cast_signed();
                tcp_option::write(self.kept(connection)?, libc::TCP_SYNCNT, count)?;
                Reply::Done
            }
            Order::Close { connection } => {
                drop(self.release(connection)?);
                Reply::Done
            }
            Order::Expect { ref path } => {
                self.passage = Some(passing::expect(path)?);
                Reply::Done
            }
            Order::Give { connection, ref path } => {
                passing::give(&self.release(connection)?, path)?;
                Reply::Done
            }
            Order::Take => {
                let passage = self.passage.take().context("no socket is expected")?;
                Reply::Opened(self.keep(passing::take(&passage)?))
            }
            Order::Lives { ref addrs, lives, seed } => {
                for socket in lives::run(addrs, lives, seed)? {
                    self.keep(socket);
                }
                Reply::Done
            }
        })
    }

    fn keep(&mut self, socket: Socket) -> u64 {
        self.opened += 1;
        self.connections.insert(self.opened, socket);
        self.opened
    }

    fn release(&mut self, connection: u64) -> Result<Socket> {
        self.connections.remove(&connection).context(NOT_OPEN)
    }

    fn kept(&self, connection: u64) -> Result<&Socket> {
        self.connections.get(&connection).context(NOT_OPEN)
    }
}

const NOT_OPEN: &str = "this connection is not open";
