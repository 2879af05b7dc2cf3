//! The other end of the control socket, for the command line.

use std::io;
use std::path::{Path, PathBuf};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::model::{
    Event, Explanation, Failure, Histograms, Overridden, Override, Reload, Reloaded, Status,
};
use super::server::{Selection, Subject};

/// A control socket to ask.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
}

/// A recording that goes on.
#[derive(Debug)]
pub struct Recording {
    path: PathBuf,
    body: Incoming,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no shedder daemon answers at {path}: {source}; {hint}")]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// The conversation broke off.
    #[error("the daemon at {path} broke off: {source}")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What went wrong.
        source: hyper::Error,
    },
    /// The daemon refused.
    #[error("{0}")]
    Refused(String),
    /// The answer makes no sense.
    #[error("the daemon at {path} gave an answer this version does not understand: {source}")]
    Answer {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Client {
    /// Asks at `path`; nothing is opened yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Everything there is to know now, of one service or caller if named.
    pub async fn status(
        &self,
        service: Option<&str>,
        caller: Option<&str>,
    ) -> Result<Status, ClientError> {
        let query = query([("service", service), ("caller", caller)]);
        let response = self.send(Method::GET, &format!("/v1/status?{query}"), None).await?;
        self.read(response).await
    }

    /// How long handshakes and answers took.
    pub async fn histogram(&self, of: &Selection) -> Result<Histograms, ClientError> {
        let Selection { endpoint, caller, network } = of;
        let query = query([
            ("endpoint", Some(endpoint.as_str())),
            ("caller", caller.as_deref()),
            ("network", network.as_deref()),
        ]);
        let response = self.send(Method::GET, &format!("/v1/histogram?{query}"), None).await?;
        self.read(response).await
    }

    /// Why connects are refused: about an endpoint or a process.
    pub async fn explain(&self, subject: &Subject) -> Result<Explanation, ClientError> {
        let query = match subject {
            Subject::Endpoint(endpoint) => format!("endpoint={}", percent_encode(endpoint)),
            Subject::Process(pid) => format!("pid={pid}"),
        };
        let response = self.send(Method::GET, &format!("/v1/explain?{query}"), None).await?;
        self.read(response).await
    }

    /// What happened lately; with `follow`, also what happens from then on, until `each` is false.
    pub async fn events(
        &self,
        follow: bool,
        each: impl FnMut(Event) -> bool,
    ) -> Result<(), ClientError> {
        self.stream(&format!("/v1/events?follow={follow}"), each).await
    }

    /// What happened after the event with this number, and what happens from then on, until `each` is
    /// false or the daemon ends.
    pub async fn events_after(
        &self,
        sequence: u64,
        each: impl FnMut(Event) -> bool,
    ) -> Result<(), ClientError> {
        self.stream(&format!("/v1/events?follow=true&after={sequence}"), each).await
    }

    async fn stream(
        &self,
        path: &str,
        mut each: impl FnMut(Event) -> bool,
    ) -> Result<(), ClientError> {
        let mut response = self.send(Method::GET, path, None).await?;
        let mut pending = Vec::new();
        while let Some(frame) = response.body_mut().frame().await {
            let frame = frame.map_err(|source| self.broken(source))?;
            pending.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                // A line of a newer daemon that this version does not know is passed over.
                if let Ok(event) = serde_json::from_slice(&line)
                    && !each(event)
                {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// What the engine is shown from now on, of one service if named.
    pub async fn record(&self, service: Option<&str>) -> Result<Recording, ClientError> {
        let query = query([("service", service)]);
        let response = self.send(Method::GET, &format!("/v1/record?{query}"), None).await?;
        Ok(Recording { path: self.path.clone(), body: response.into_body() })
    }

    /// Gives an order and returns the breakers it reached.
    pub async fn order(&self, order: &Override) -> Result<Overridden, ClientError> {
        let body = serde_json::to_vec(order).expect("an order has only text keys");
        let response = self.send(Method::POST, "/v1/override", Some(body)).await?;
        self.read(response).await
    }

    /// Has the policy file taken up, or looked at, and returns what is different.
    pub async fn reload(&self, reload: Reload) -> Result<Reloaded, ClientError> {
        let body = serde_json::to_vec(&reload).expect("an order has only text keys");
        let response = self.send(Method::POST, "/v1/reload", Some(body)).await?;
        self.read(response).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Response<Incoming>, ClientError> {
        let stream = UnixStream::connect(&self.path).await.map_err(|source| {
            let hint = if source.kind() == io::ErrorKind::PermissionDenied {
                "you are not in the group that may use it (socket_group in [node]); use sudo"
            } else {
                "start one with `shedder run --config FILE`, or name its socket with --socket"
            };
            ClientError::Unreachable { path: self.path.clone(), source, hint }
        })?;
        let (mut requests, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|source| self.broken(source))?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "shedder")
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .expect("method and path are well-formed");
        let response =
            requests.send_request(request).await.map_err(|source| self.broken(source))?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let status = response.status();
        let failure: Result<Failure, _> = self.read(response).await;
        Err(ClientError::Refused(
            failure.map_or_else(|_| status.to_string(), |failure| failure.error),
        ))
    }

    async fn read<T: DeserializeOwned>(
        &self,
        response: Response<Incoming>,
    ) -> Result<T, ClientError> {
        let body = response.into_body().collect().await.map_err(|source| self.broken(source))?;
        serde_json::from_slice(&body.to_bytes())
            .map_err(|source| ClientError::Answer { path: self.path.clone(), source })
    }

    fn broken(&self, source: hyper::Error) -> ClientError {
        ClientError::Broken { path: self.path.clone(), source }
    }
}

impl Recording {
    /// The next bytes, when there are some; nothing when the daemon has ended.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        let frame = self.body.frame().await.transpose();
        let frame =
            frame.map_err(|source| ClientError::Broken { path: self.path.clone(), source })?;
        Ok(frame.map(|frame| frame.into_data().unwrap_or_default()))
    }
}

/// Those pairs that have a value, as a query.
fn query<const PAIRS: usize>(pairs: [(&str, Option<&str>); PAIRS]) -> String {
    let given = pairs.into_iter().filter_map(|(key, value)| Some((key, value?)));
    let pairs: Vec<String> =
        given.map(|(key, value)| format!("{key}={}", percent_encode(value))).collect();
    pairs.join("&")
}

/// `text` as a query value.
fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
