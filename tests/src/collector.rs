//! A collector of OpenTelemetry that does as it is told: it takes OTLP over HTTP in protobuf, or says why
//! not.
//!
//! Invariant: what it has taken is what it acknowledged, and it has ended when its value is dropped.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::clock::now;

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

/// What it is to say to a request about spans. Metrics it always takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// 200.
    Take,
    /// This status, and how many seconds to wait.
    Status(u16, Option<u64>),
    /// Nothing, until the other side gives up.
    Silence,
}

/// What has come so far.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// When each request about spans came, and what it was told.
    pub requests: Vec<(Instant, Reply)>,
    /// The heads of all requests.
    pub heads: Vec<String>,
    /// What was taken.
    pub spans: Vec<Span>,
    /// What was taken last.
    pub metrics: Vec<Metric>,
    /// Who sent it.
    pub resource: Resource,
}

#[derive(Debug, Default)]
struct State {
    replies: VecDeque<Reply>,
    received: Received,
    is_over: bool,
}

impl Collector {
    /// Starts one that gives these replies first, and then takes everything.
    pub fn start(replies: &[Reply]) -> Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), replies)
    }

    /// As [`Collector::start`], at an address of choice.
    pub fn start_at(address: SocketAddr, replies: &[Reply]) -> Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let replies = replies.iter().copied().collect();
        let state = Arc::new(Mutex::new(State { replies, ..State::default() }));
        let shared = Arc::clone(&state);
        let thread = thread::spawn(move || serve(&listener, &shared));
        Ok(Self { address, state, thread: Some(thread) })
    }

    /// As the policy file names it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What has come so far.
    pub fn received(&self) -> Received {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).received.clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_over = true;
        // It looks up when somebody comes.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Received {
    /// The numbers a family has now, over all of its series.
    pub fn sum(&self, family: &str) -> Option<i64> {
        use opentelemetry_proto::tonic::metrics::v1::metric::Data;
        use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value::AsInt;
        let metric = self.metrics.iter().find(|metric| metric.name == family)?;
        let Some(Data::Sum(sum)) = &metric.data else { return None };
        let count = |value: Option<_>| if let Some(AsInt(count)) = value { count } else { 0 };
        Some(sum.data_points.iter().map(|point| count(point.value)).sum())
    }
}

/// The text, number or flag of one attribute, as text.
pub fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::BoolValue(flag) => Some(flag.to_string()),
        Value::IntValue(number) => Some(number.to_string()),
        Value::DoubleValue(number) => Some(number.to_string()),
        Value::ArrayValue(_)
        | Value::KvlistValue(_)
        | Value::BytesValue(_)
        | Value::StringValueStrindex(_) => None,
    }
}

fn serve(listener: &TcpListener, state: &Arc<Mutex<State>>) {
    for stream in listener.incoming() {
        if state.lock().unwrap_or_else(PoisonError::into_inner).is_over {
            return;
        }
        let Ok(stream) = stream else { continue };
        let state = Arc::clone(state);
        // One that breaks off is the daemon's affair.
        thread::spawn(move || drop(converse(stream, &state)));
    }
}

fn converse(mut stream: TcpStream, state: &Mutex<State>) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let (head, body) = request(&mut stream)?;
    let reply = receive(&head, &body, &mut state.lock().unwrap_or_else(PoisonError::into_inner))?;
    let (status, after) = match reply {
        Reply::Take => (200, None),
        Reply::Status(status, after) => (status, after),
        Reply::Silence => {
            // Until the other side closes.
            drop(stream.read(&mut [0]));
            return Ok(());
        }
    };
    let after = after.map_or_else(String::new, |it| format!("retry-after: {it}\r\n"));
    write!(
        stream,
        "HTTP/1.1 {status} x\r\n{after}content-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"
    )?;
    Ok(())
}

fn receive(head: &str, body: &[u8], state: &mut State) -> Result<Reply> {
    state.received.heads.push(head.to_owned());
    ensure!(head.to_lowercase().contains("content-type: application/x-protobuf"), "{head}");
    if head.starts_with("POST /v1/metrics ") {
        let request = ExportMetricsServiceRequest::decode(body)?;
        let scopes = request.resource_metrics.into_iter().flat_map(|it| it.scope_metrics);
        state.received.metrics = scopes.flat_map(|it| it.metrics).collect();
        return Ok(Reply::Take);
    }
    ensure!(head.starts_with("POST /v1/traces "), "{head}");
    let request = ExportTraceServiceRequest::decode(body)?;
    let reply = state.replies.pop_front().unwrap_or(Reply::Take);
    state.received.requests.push((now(), reply));
    if reply == Reply::Take {
        for resource in request.resource_spans {
            state.received.resource = resource.resource.context("spans are somebody's")?;
            state
                .received
                .spans
                .extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    Ok(reply)
}

fn request(stream: &mut TcpStream) -> Result<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            bail!("half a request: {head}");
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.context("a request has a length")?];
    reader.read_exact(&mut body)?;
    if head.to_lowercase().contains("content-encoding: gzip") {
        body = unpacked(&body)?;
    }
    Ok((head, body))
}

/// By the program every system has: only one collector that passes things on packs them.
fn unpacked(body: &[u8]) -> Result<Vec<u8>> {
    let mut file = tempfile::tempfile()?;
    file.write_all(body)?;
    file.rewind()?;
    let output = Command::new("gzip").args(["--decompress", "--stdout"]).stdin(file).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

const PATIENCE: Duration = Duration::from_secs(30);
