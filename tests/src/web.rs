//! What a monitoring system does: asks for a page over TCP and reads it.
//!
//! Invariant: no answer takes longer than [`PATIENCE`].

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// The answer to one request.
#[derive(Clone, Debug)]
pub struct Page {
    /// The status code.
    pub status: u16,
    /// Everything before the body.
    pub head: String,
    /// The body.
    pub text: String,
}

/// Asks for one page.
pub fn fetch(address: SocketAddr, path: &str) -> Result<Page> {
    request(address, &format!("GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n"), PATIENCE)
}

/// Sends a request as it is, and reads until the end.
pub fn request(address: SocketAddr, request: &str, patience: Duration) -> Result<Page> {
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("no answer in time")?;
    let (head, text) = answer.split_once("\r\n\r\n").context("half an answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok(Page { status, head: head.to_owned(), text: text.to_owned() })
}

impl Page {
    /// The value of one series, written as in the text.
    pub fn value(&self, series: &str) -> Option<f64> {
        let mut lines = self.text.lines();
        lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
