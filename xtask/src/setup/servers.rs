//! nginx, Redis and Postgres, which chaos plays with, and the proxies that shedder is measured beside.
//!
//! Invariant: nothing is installed and no service started: Debian's packages, and those of the libraries
//! they need that are not here, are unpacked in the target directory. apt checks what it downloads by the
//! signed lists of the distribution.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use super::debian;
use crate::paths;
use crate::process;
use crate::step::{self, Change, Done, Report};

/// A server, and the package that has it.
#[derive(Debug)]
pub(super) struct Server {
    package: &'static str,
    /// What it is for, for who has to do without.
    why: &'static str,
    /// Where its program is below the root of the system.
    programs: fn(&Path) -> Option<PathBuf>,
}

/// Find a server, or unpack it.
pub(super) fn ensure(report: Report, server: &Server) -> Result<()> {
    report.step(server.package, || ensure_program(server))
}

fn ensure_program(server: &Server) -> Result<Done<()>> {
    let Server { package, why, .. } = server;
    if let Some(detail) = find(server) {
        return Ok(Done { value: (), change: Change::None, detail });
    }
    step::announce(&format!("unpacking Debian's {package}"));
    debian::unpack_with_missing(package, &directory(server)).map_err(|error| {
        anyhow!(
            "the server {package} is missing: {why}\ntried:\n  apt-get: {error:#}\n\
             install your distribution's package (which may start a service: nothing here needs \
             one) and run this again"
        )
    })?;
    let detail = find(server).with_context(|| format!("package {package} brought no server"))?;
    Ok(Done { value: (), change: Change::Installed, detail })
}

fn find(server: &Server) -> Option<String> {
    let installed = || (server.programs)(Path::new("/"));
    let path = (server.programs)(&directory(server)).or_else(installed)?;
    Some(path.display().to_string())
}

/// Where the lab looks for it beside the programs of the system.
fn directory(server: &Server) -> PathBuf {
    paths::target_dir().join("tools").join(server.package)
}

fn nginx(root: &Path) -> Option<PathBuf> {
    Some(root.join("usr/sbin/nginx")).filter(|path| process::is_executable(path))
}

/// The module alone is of no use, but a server without it may be installed.
fn nginx_with_stream(root: &Path) -> Option<PathBuf> {
    let module = root.join("usr/lib/nginx/modules/ngx_stream_module.so");
    let has_server = nginx(root).or_else(|| nginx(Path::new("/"))).is_some();
    Some(module).filter(|path| has_server && path.is_file())
}

fn haproxy(root: &Path) -> Option<PathBuf> {
    Some(root.join("usr/sbin/haproxy")).filter(|path| process::is_executable(path))
}

fn redis(root: &Path) -> Option<PathBuf> {
    Some(root.join("usr/bin/redis-server")).filter(|path| process::is_executable(path))
}

/// It is kept by version, apart from other programs; chaos needs its client, too.
fn postgresql(root: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(root.join("usr/lib/postgresql")).ok()?.flatten();
    let mut programs = versions.map(|version| version.path().join("bin"));
    programs.find(|bin| {
        ["initdb", "postgres", "psql"].iter().all(|name| process::is_executable(&bin.join(name)))
    })
}

/// HTTP.
pub(super) const NGINX: Server = Server { package: "nginx", why: CHAOS, programs: nginx };
/// A cache.
pub(super) const REDIS: Server = Server { package: "redis-server", why: CHAOS, programs: redis };
/// A database.
pub(super) const POSTGRESQL: Server =
    Server { package: "postgresql", why: CHAOS, programs: postgresql };
/// A proxy.
pub(super) const HAPROXY: Server = Server { package: "haproxy", why: PEERS, programs: haproxy };
/// nginx as a proxy of TCP, which it is by a module; the module needs the server.
pub(super) const NGINX_WITH_STREAM: Server =
    Server { package: "libnginx-mod-stream", why: PEERS, programs: nginx_with_stream };

const CHAOS: &str = "chaos plays with it";
const PEERS: &str = "`cargo xtask bench peers` measures shedder beside it";
