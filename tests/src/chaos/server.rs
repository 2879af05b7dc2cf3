//! Real servers of Debian: nginx, Redis and Postgres, as processes of a user without rights.
//!
//! Invariant: each has a directory of its own and listens in the namespace of its scenario only; no service
//! of the machine is touched, and a server ends with its value, also where this program is killed.

use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use crate::clock::now;
use crate::interrupt;
use crate::netns::NetNs;
use crate::nobody;
use crate::program;

/// A server that can be ended and started again.
#[derive(Debug)]
pub(super) struct Server<'a> {
    namespace: &'a NetNs,
    address: SocketAddr,
    command: Vec<String>,
    libraries: OsString,
    directory: TempDir,
    process: Option<Child>,
}

/// A client of Postgres at work.
#[derive(Debug)]
pub(super) struct Session(Child);

impl<'a> Server<'a> {
    /// nginx, by these lines in `location /`.
    pub(super) fn nginx(namespace: &'a NetNs, address: SocketAddr, does: &str) -> Result<Self> {
        let directory = nobody::directory()?;
        let path = directory.path().display();
        let file = directory.path().join("nginx.conf");
        let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|it| format!("{it}_temp_path {path}/{it};"))
            .concat();
        let text = format!(
            "daemon off; master_process off; pid {path}/pid; error_log {path}/log;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ access_log off; {places}\n\
             split_clients \"$connection$msec\" $fails {{ 92% 1; * 0; }}\n\
             server {{ listen {address}; location / {{ {does} }} }} }}\n"
        );
        fs::write(&file, text)?;
        let nginx = find("nginx", "nginx/usr/sbin")?;
        let log = format!("{path}/log");
        let command = [nginx.as_str(), "-e", &log, "-c", &file.display().to_string()];
        Self::start(namespace, address, &command, directory)
    }

    /// Redis, with further arguments.
    pub(super) fn redis(namespace: &'a NetNs, address: SocketAddr, more: &[&str]) -> Result<Self> {
        let directory = nobody::directory()?;
        let redis = find("redis-server", "redis-server/usr/bin")?;
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let dir = directory.path().display().to_string();
        let mut command = vec![redis.as_str(), "--bind", &ip, "--port", &port, "--dir", &dir];
        command.extend(["--save", "", "--protected-mode", "no"]);
        command.extend(more);
        Self::start(namespace, address, &command, directory)
    }

    /// Postgres with a table `orders`, and this many connections at most.
    pub(super) fn postgres(
        namespace: &'a NetNs,
        address: SocketAddr,
        connections: u32,
    ) -> Result<Self> {
        let directory = nobody::directory()?;
        let data = directory.path().join("data").display().to_string();
        let [initdb, postgres] = ["initdb", "postgres"].map(find_postgres);
        let (initdb, postgres) = (initdb?, postgres?);
        let libraries = program::libraries(&UNPACKED)?;
        let made = nobody::command(&[
            &initdb,
            "-D",
            &data,
            "-U",
            "chaos",
            "-A",
            "trust",
            "-N",
            "--locale=C",
        ])
        .env("LD_LIBRARY_PATH", &libraries)
        .current_dir(directory.path())
        .output()
        .context("cannot start initdb")?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let (listen, port) =
            (format!("listen_addresses={}", address.ip()), address.port().to_string());
        let most = format!("max_connections={connections}");
        let command = [postgres.as_str(), "-D", &data, "-p", &port, "-c", &listen, "-c", &most];
        let rest = ["-c", "unix_socket_directories=", "-c", "fsync=off"];
        let server = Self::start(namespace, address, &[&command[..], &rest].concat(), directory)?;
        let mut session = server.psql("create table orders (id int)")?;
        ensure!(session.0.wait()?.success(), "PostgreSQL makes no table");
        Ok(server)
    }

    /// Where it listens.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it as a crash does (SIGKILL); from now on its port refuses.
    pub(super) fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it is ended already")?;
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// Starts it again, and waits until it can be reached.
    pub(super) fn revive(&mut self) -> Result<()> {
        let command: Vec<&str> = self.command.iter().map(String::as_str).collect();
        let mut command = nobody::command(&command);
        command.env("LD_LIBRARY_PATH", &self.libraries).current_dir(self.directory.path());
        self.namespace.start_inside(&mut command)?;
        let log = fs::File::create(self.directory.path().join("said"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.process = Some(command.spawn().with_context(|| format!("cannot start {command:?}"))?);
        self.wait_until_it_listens()
    }

    /// Says something to it over a connection of ours, and reads what it says until there is `end` in it.
    pub(super) fn ask(&self, what: &[u8], end: &str) -> Result<String> {
        self.namespace.enter(|| {
            let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(what)?;
            let mut said = String::new();
            let mut bytes = [0; 4096];
            while !said.contains(end) {
                let read = stream.read(&mut bytes)?;
                ensure!(read > 0, "{} said only {said:?}", self.address);
                said.push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
            Ok(said)
        })?
    }

    /// A section of what Redis tells of itself.
    pub(super) fn ask_redis(&self, section: &str) -> Result<String> {
        // It answers the PING after all of what it tells.
        self.ask(format!("INFO {section}\r\nPING\r\n").as_bytes(), "+PONG")
    }

    /// Begins a session of Postgres's own client that does this and ends.
    pub(super) fn psql(&self, what: &str) -> Result<Session> {
        let (host, port) = (self.address.ip().to_string(), self.address.port().to_string());
        let psql = find_postgres("psql")?;
        let to = [psql.as_str(), "-h", &host, "-p", &port, "-U", "chaos", "-d", "postgres"];
        let mut command = nobody::command(&[&to[..], &["-c", what]].concat());
        command.env("LD_LIBRARY_PATH", &self.libraries).current_dir(self.directory.path());
        self.namespace.start_inside(&mut command)?;
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Session(command.spawn().context("cannot start psql")?))
    }

    fn start(
        namespace: &'a NetNs,
        address: SocketAddr,
        command: &[&str],
        directory: TempDir,
    ) -> Result<Self> {
        let command = command.iter().map(|&it| it.to_owned()).collect();
        let libraries = program::libraries(&UNPACKED)?;
        let mut server = Self { namespace, address, command, libraries, directory, process: None };
        server.revive()?;
        Ok(server)
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let deadline = now() + PATIENCE;
        loop {
            interrupt::check()?;
            let ended =
                self.process.as_mut().and_then(|it| it.try_wait().transpose()).transpose()?;
            let said = || {
                let read = |name| fs::read_to_string(self.directory.path().join(name));
                ["said", "log"].map(|name| read(name).unwrap_or_default()).concat()
            };
            if let Some(status) = ended {
                bail!("{} ended with {status}: {}", self.command[0], said());
            }
            if self.namespace.enter(|| TcpStream::connect(self.address).is_ok())? {
                return Ok(());
            }
            ensure!(now() < deadline, "{} does not listen: {}", self.command[0], said());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        if self.process.is_some() {
            // It has ended by itself, or it does now.
            drop(self.kill());
        }
    }
}

impl Session {
    /// Whether it has done it.
    pub(super) fn is_over(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn find(name: &str, place: &str) -> Result<String> {
    let path = program::find_tool(name, place)?;
    Ok(path.display().to_string())
}

/// Debian keeps them by version, apart from other programs.
fn find_postgres(name: &str) -> Result<String> {
    let place = |version: u32| format!("usr/lib/postgresql/{version}/bin");
    let versions = (13..=20).rev();
    let installed =
        versions.clone().map(|version| PathBuf::from("/").join(place(version)).join(name));
    if let Some(path) = installed.into_iter().find(|path| path.is_file()) {
        return Ok(path.display().to_string());
    }
    let mut unpacked =
        versions.filter_map(|version| find(name, &format!("postgresql/{}", place(version))).ok());
    unpacked.next().with_context(|| format!("there is no {name}: run `cargo xtask chaos`"))
}

const UNPACKED: [&str; 3] = ["nginx", "redis-server", "postgresql"];
const PATIENCE: Duration = Duration::from_secs(30);
