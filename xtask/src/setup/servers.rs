//! nginx, Redis and Postgres, which chaos plays with.
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
    /// Where its program is below the root of the system.
    programs: fn(&Path) -> Option<PathBuf>,
}

/// Find a server, or unpack it.
pub(super) fn ensure(report: Report, server: &Server) -> Result<()> {
    report.step(server.package, || ensure_program(server))
}

fn ensure_program(server: &Server) -> Result<Done<()>> {
    let Server { package, .. } = server;
    if let Some(detail) = find(server) {
        return Ok(Done { value: (), change: Change::None, detail });
    }
    step::announce(&format!("unpacking Debian's {package}"));
    debian::unpack_with_missing(package, &directory(server)).map_err(|error| {
        anyhow!(
            "the server {package} is missing: chaos plays with it\ntried:\n  apt-get: {error:#}\n\
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

/// Where chaos looks for it before it looks among the programs of the system.
fn directory(server: &Server) -> PathBuf {
    paths::target_dir().join("tools").join(server.package)
}

fn nginx(root: &Path) -> Option<PathBuf> {
    Some(root.join("usr/sbin/nginx")).filter(|path| process::is_executable(path))
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
pub(super) const NGINX: Server = Server { package: "nginx", programs: nginx };
/// A cache.
pub(super) const REDIS: Server = Server { package: "redis-server", programs: redis };
/// A database.
pub(super) const POSTGRESQL: Server = Server { package: "postgresql", programs: postgresql };
