//! The far end of the benches: a process of its own, which no program of shedder sees.
//!
//! Invariant: it sleeps while connects are timed. Waking it would be most of the time measured on
//! a virtual machine, and would hide what the programs cost.

use std::io::{self, BufRead, BufReader, Read, Write, stdin, stdout};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};
use clap::Args;
use socket2::{Domain, Socket, Type};

use super::machine;
use crate::netns::NetNs;
use crate::program;

/// What the server process is told.
#[derive(Clone, Copy, Debug, Args)]
pub struct Options {
    /// The CPU it stays on.
    #[arg(long)]
    pub(super) cpu: usize,
    /// The client's CPU.
    #[arg(long)]
    pub(super) client_cpu: usize,
}

/// Listens on the ports below, on every address of its network namespace, until its standard
/// input ends.
pub fn serve(options: &Options) -> Result<()> {
    let queue = listen(ACCEPTING_PORT)?;
    queue.set_nonblocking(true)?;
    start(SETTLING_PORT, options.cpu, move |asker| settle(&queue, asker))?;
    start(ANSWERING_PORT, options.cpu, answer)?;
    start(NEAR_ANSWERING_PORT, options.client_cpu, answer)?;
    start(BULK_PORT, options.cpu, echo_in_bulk)?;
    start(NEAR_BULK_PORT, options.client_cpu, echo_in_bulk)?;
    stdout().write_all(READY.as_bytes()).context("cannot say that the ports are open")?;
    stdin().read_to_end(&mut Vec::new()).context("cannot read the standard input")?;
    Ok(())
}

/// Connections the kernel keeps until they are accepted: the most a client may make before it
/// waits for the server.
pub(super) const BACKLOG: u16 = 4096;

/// Connections to it are made by the kernel alone and wait to be accepted.
pub(super) const ACCEPTING_PORT: u16 = 7001;
/// Each message of [`MESSAGE_BYTES`] is sent back.
pub(super) const ANSWERING_PORT: u16 = 7002;
/// The same, by a thread on the client's CPU.
pub(super) const NEAR_ANSWERING_PORT: u16 = 7003;
/// Nobody listens.
pub(super) const CLOSED_PORT: u16 = 7004;

/// [`BULK_BYTES`] are received, then as many sent.
pub(super) const BULK_PORT: u16 = 7006;
/// The same, by a thread on the client's CPU.
pub(super) const NEAR_BULK_PORT: u16 = 7007;

/// Length of a request and of its answer.
pub(super) const MESSAGE_BYTES: usize = 64;
/// Length of a bulk transfer, each way.
pub(super) const BULK_BYTES: usize = 1 << 20;

/// The running server process; it ends with this value.
#[derive(Debug)]
pub(super) struct Server {
    process: Child,
    input: Option<ChildStdin>,
}

impl Server {
    /// Starts it in a network namespace, in the cgroup this process is in.
    pub(super) fn start(namespace: &NetNs, options: Options) -> Result<Self> {
        let mut command = Command::new(program::find("lab-server")?);
        command.args(["--cpu", &options.cpu.to_string()]);
        command.args(["--client-cpu", &options.client_cpu.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // Ctrl-C is for its client, which still needs it to finish a round.
        command.process_group(0);
        namespace.start_inside(&mut command)?;
        let mut process = command.spawn().context("cannot start the server")?;
        let (input, output) = (process.stdin.take(), process.stdout.take());
        let server = Self { process, input };
        let mut line = String::new();
        BufReader::new(output.context("the server has no output")?).read_line(&mut line)?;
        ensure!(line == READY, "the server did not open its ports");
        Ok(server)
    }

    /// Has it accept and close every connection made to [`ACCEPTING_PORT`] so far.
    pub(super) fn settle() -> Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, SETTLING_PORT));
        let mut stream = TcpStream::connect(address).context("the server does not accept")?;
        stream.read_to_end(&mut Vec::new()).context("the server does not close")?;
        Ok(())
    }
}

impl Drop for Server {
    #[expect(clippy::print_stderr, reason = "a drop has no other way to say what went wrong")]
    fn drop(&mut self) {
        drop(self.input.take());
        if let Err(error) = self.process.wait() {
            eprintln!("the server does not end: {error}");
        }
    }
}

/// Serves one port, one connection after the other, on a thread of its own.
fn start(
    port: u16,
    cpu: usize,
    serve_one: impl Fn(TcpStream) -> io::Result<()> + Send + 'static,
) -> Result<()> {
    let listener = listen(port)?;
    thread::Builder::new().name(format!("port-{port}")).spawn(move || {
        machine::pin_to(cpu)?;
        // A connection that fails is its client's affair, and a listener that fails ends us.
        while let Ok((socket, _)) = listener.accept() {
            serve_one(socket.into()).unwrap_or_default();
        }
        anyhow::Ok(())
    })?;
    Ok(())
}

fn listen(port: u16) -> Result<Socket> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    listener.bind(&address.into()).with_context(|| format!("cannot have port {port}"))?;
    listener.listen(BACKLOG.into())?;
    Ok(listener)
}

/// Closes every connection that waits, and then the one that asked for it.
fn settle(queue: &Socket, asker: TcpStream) -> io::Result<()> {
    loop {
        match queue.accept() {
            Ok(waiting) => drop(waiting),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    drop(asker);
    Ok(())
}

fn answer(stream: TcpStream) -> io::Result<()> {
    echo(stream, MESSAGE_BYTES)
}

fn echo_in_bulk(stream: TcpStream) -> io::Result<()> {
    echo(stream, BULK_BYTES)
}

/// Sends every `length` bytes back when it has them all.
fn echo(mut stream: TcpStream, length: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut message = vec![0; length];
    loop {
        stream.read_exact(&mut message)?;
        stream.write_all(&message)?;
    }
}

/// A connection to it is closed when every waiting one has been.
const SETTLING_PORT: u16 = 7005;
const READY: &str = "ready\n";
