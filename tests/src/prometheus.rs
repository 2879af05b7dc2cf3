//! A real Prometheus that scrapes a real daemon, and `promtool`, which judges what is written for it.
//!
//! Invariant: each has a directory and a port of its own, and has ended when its value is dropped.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::clock::now;
use crate::program;
use crate::web;

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    process: Child,
    address: SocketAddr,
    /// Goes with its data.
    _directory: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes `target` each second and evaluates the rules in `rules` as often.
    pub fn start(target: SocketAddr, rules: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("shedder-lab-").tempdir()?;
        let (file, log) = (directory.path().join("prometheus.yml"), directory.path().join("log"));
        let rules = rules.canonicalize()?;
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['{}']\n\
             scrape_configs: [{{job_name: shedder, static_configs: [{{targets: ['{target}']}}]}}]\n",
            rules.display()
        );
        fs::write(&file, config)?;
        let process = Command::new(find("prometheus")?)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .context("Prometheus starts")?;
        let placeholder = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut started = Self { process, address: placeholder, _directory: directory };
        started.address = started.wait_until_it_listens(&log)?;
        Ok(started)
    }

    /// The values an expression has now, with their labels.
    pub fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let encoded =
            expression.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02X}"));
        let mut answer = self.ask(&format!("/api/v1/query?query={encoded}"))?;
        let Value::Array(values) = answer["data"]["result"].take() else {
            bail!("{expression}: {answer}");
        };
        Ok(values)
    }

    /// Name and state (`pending` or `firing`) of each alert that holds.
    pub fn alerts(&self) -> Result<Vec<(String, String)>> {
        let answer = self.ask("/api/v1/alerts")?;
        let alerts = answer["data"]["alerts"].as_array().context("no alerts")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let pair = |alert: &Value| (text(&alert["labels"]["alertname"]), text(&alert["state"]));
        Ok(alerts.iter().map(pair).collect())
    }

    fn ask(&self, path: &str) -> Result<Value> {
        let page = web::fetch(self.address, path)?;
        serde_json::from_str(&page.text).with_context(|| page.text.clone())
    }

    fn wait_until_it_listens(&mut self, log: &Path) -> Result<SocketAddr> {
        let deadline = now() + PATIENCE;
        loop {
            let said = fs::read_to_string(log)?;
            // It says which port it was given, and a little later that it answers.
            if said.contains("Server is ready to receive web requests")
                && let Some(address) = listening_on(&said)
            {
                return Ok(address);
            }
            if let Some(status) = self.process.try_wait()? {
                bail!("Prometheus ended with {status}: {said}");
            }
            if now() > deadline {
                bail!("Prometheus does not answer: {said}");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Runs `promtool` with something to read.
pub fn promtool(arguments: &[&str], input: &str) -> Result<Output> {
    let mut process = Command::new(find("promtool")?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    process.stdin.take().expect("it is piped").write_all(input.as_bytes())?;
    Ok(process.wait_with_output()?)
}

fn find(program: &str) -> Result<PathBuf> {
    program::find_tool(program, "prometheus/usr/bin")
}

fn listening_on(log: &str) -> Option<SocketAddr> {
    log.lines()
        .filter(|line| line.contains("Listening on"))
        .find_map(|line| line.split("address=").nth(1)?.split(' ').next()?.parse().ok())
}

const PATIENCE: Duration = Duration::from_secs(30);
