//! A real collector of OpenTelemetry that others wrote, which passes on what it takes.
//!
//! Invariant: it has a directory and ports of its own, and has ended when its value is dropped.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::clock::now;
use crate::collector::Collector;
use crate::program;

/// A running collector.
#[derive(Debug)]
pub struct Rotel {
    process: Child,
    address: SocketAddr,
    directory: TempDir,
}

impl Rotel {
    /// Starts one that sends everything on to `next`.
    pub fn start(next: &Collector) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("shedder-lab-").tempdir()?;
        let (http, grpc) = (free_port()?, free_port()?);
        let process = Command::new(program::find_tool("rotel-agent", "rotel/rotel")?)
            .args(["start", "--otlp-http-endpoint", &http.to_string()])
            .args(["--otlp-grpc-endpoint", &grpc.to_string()])
            .args(["--exporter", "otlp", "--otlp-exporter-endpoint", &next.url()])
            .args(["--otlp-exporter-protocol", "http"])
            .stdin(Stdio::null())
            .stdout(fs::File::create(directory.path().join("log"))?)
            .stderr(Stdio::null())
            .spawn()
            .context("rotel starts")?;
        let mut started = Self { process, address: http, directory };
        started.wait_until_it_listens()?;
        Ok(started)
    }

    /// As the policy file names it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let deadline = now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.process.try_wait()? {
                bail!("rotel ended with {status}: {}", self.log());
            }
            if now() > deadline {
                bail!("rotel does not listen: {}", self.log());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// One that was free a moment ago: it takes no port zero.
fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

const PATIENCE: Duration = Duration::from_secs(30);
