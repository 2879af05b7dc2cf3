//! nginx as a proxy of TCP: its program, the module that makes it one, and its configuration.
//!
//! Invariant: program and module come from the same place where both are there.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Where the program is.
pub(super) fn program() -> Result<String> {
    let beside = |root: &Path| Some(root.join("usr/sbin/nginx")).filter(|path| path.is_file());
    let path = beside(&root()?).or_else(|| beside(Path::new("/")));
    Ok(path.context("there is no nginx: run `cargo xtask bench peers`")?.display().to_string())
}

/// The version in what `-v` prints: `nginx version: nginx/1.22.1`.
pub(super) fn version(said: &str) -> Option<&str> {
    said.split_once("nginx/")?.1.split_whitespace().next()
}

/// In the foreground, with what belongs to this machine and not to the configuration.
pub(super) fn command(config: &str, directory: &str) -> Result<Vec<String>> {
    let module = root()?.join(MODULE);
    let own = format!(
        "load_module {}; daemon off; pid {directory}/pid; error_log stderr crit;",
        module.display()
    );
    Ok([&program()?, "-e", "stderr", "-c", config, "-g", &own].map(str::to_owned).to_vec())
}

/// The file.
pub(super) fn config(listen: SocketAddr, upstreams: &[SocketAddr]) -> String {
    let mut servers = String::new();
    for upstream in upstreams {
        // Writing to a text cannot fail.
        let _written = writeln!(servers, "        server {upstream} max_fails=5 fail_timeout=3s;");
    }
    // It says so where this is too little.
    let zone = 64 + 2 * upstreams.len();
    format!(
        "worker_processes 2;
events {{ worker_connections 16384; }}
stream {{
    upstream endpoints {{
        # What one worker learns of an endpoint the other knows.
        zone endpoints {zone}k;
        # Five connects that fail within three seconds take it away for three.
{servers}    }}
    server {{
        # Each worker has a queue of its own.
        listen {listen} backlog=4096 reuseport;
        proxy_pass endpoints;
        proxy_connect_timeout 1s;
        # A connect that fails is tried at another endpoint.
        proxy_next_upstream on;
        proxy_next_upstream_tries 3;
        # Idle connections stay.
        proxy_timeout 10m;
    }}
}}
"
    )
}

/// What the module was unpacked in, or the system.
fn root() -> Result<PathBuf> {
    let executable = std::env::current_exe().context("cannot find the current executable")?;
    let unpacked = executable.ancestors().map(|above| above.join("tools/libnginx-mod-stream"));
    let mut roots = unpacked.chain([PathBuf::from("/")]);
    roots
        .find(|root| root.join(MODULE).is_file())
        .context("nginx has no module for TCP: run `cargo xtask bench peers`")
}

const MODULE: &str = "usr/lib/nginx/modules/ngx_stream_module.so";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found() {
        assert_eq!(version("nginx version: nginx/1.22.1\n"), Some("1.22.1"));
        assert_eq!(version("no"), None);
    }
}
