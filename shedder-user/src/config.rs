//! The policy file: TOML text in, validated configuration out.
//!
//! Nothing here knows the kernel or a clock. Every complaint names file, line, column and what to
//! do; a file is taken as a whole or not at all.

mod changes;
mod endpoint;
mod error;
mod file;
mod otlp;
mod places;
mod presets;
mod rules;
mod schema;
mod source;
mod standalone;
mod suggestion;
mod validate;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use shedder_common::protocol::{Errors, Protocol};

use crate::engine::{NodeRules, Policy};

pub use self::endpoint::{EndpointSpec, InvalidEndpoint};
pub(crate) use self::error::Complaint;
pub use self::error::ConfigError;
pub use self::otlp::Otlp;
pub use self::presets::{Preset, presets};
pub use self::schema::schema;
pub use self::source::Source;
pub(crate) use self::suggestion::did_you_mean;
pub(crate) use self::value::{At, Text, Time};

/// A whole, checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The daemon itself.
    pub node: Node,
    /// Who is guarded.
    pub callers: Vec<Caller>,
    /// What they call.
    pub services: Vec<Service>,
    /// Which rules hold between them.
    pub bindings: Vec<Binding>,
}

/// Settings of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// How often evidence is looked at; 10 ms to 10 s.
    pub tick: Duration,
    /// How long a verdict holds without being renewed; at least three ticks, at most a minute.
    pub verdict_ttl: Duration,
    /// Endpoints there can be, 1 to 65536.
    pub max_endpoints: u32,
    /// Connects that may be held at once, at least one.
    pub max_held: u32,
    /// How long an endpoint that was found, not named, is kept without being called.
    pub forget_after: Duration,
    /// The control socket.
    pub socket: PathBuf,
    /// The group that may use it, besides root.
    pub socket_group: Option<String>,
    /// Where metrics and health are served; nothing: nowhere.
    pub listen: Option<SocketAddr>,
    /// Endpoints with series of their own among the metrics; the others are added up.
    pub metrics_endpoints: u32,
    /// Where the journal is kept; nothing: it is not.
    pub state_dir: Option<PathBuf>,
    /// How much of it.
    pub journal: JournalLimits,
    /// Where spans and metrics are sent; nothing: nowhere.
    pub otlp: Option<Otlp>,
    /// Where links are pinned when they are to outlive the daemon.
    pub pin_dir: PathBuf,
    /// How often cgroup patterns and endpoint names are looked up again.
    pub rescan: Duration,
    /// Whether the policy file is read again and again, and a change of it taken up.
    pub watch: bool,
    /// Limits for everything the daemon sheds together.
    pub rules: NodeRules,
}

/// How much of the journal is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalLimits {
    /// A file that would become larger is put aside, 16 to 1048576 KiB.
    pub max_kib: u32,
    /// Files there are, with the one that is written; 1 to 100.
    pub files: u32,
}

/// A named set of cgroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// As people know it.
    pub name: String,
    /// Patterns of cgroup paths, from the root of the hierarchy.
    pub cgroups: Vec<String>,
}

/// A named set of endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// As people know it.
    pub name: String,
    /// Its endpoints.
    pub endpoints: Vec<EndpointSpec>,
    /// Where a redirect may go when no sibling is healthy.
    pub fallback: Vec<EndpointSpec>,
    /// Whether an address is another endpoint in each network namespace.
    pub separate_networks: bool,
    /// Whether datagrams to its endpoints obey their breakers too.
    pub udp: bool,
    /// By which answers that say that the endpoint failed are known; nothing: answers are not read.
    pub protocol: Option<Protocol>,
    /// Which errors in such answers count.
    pub errors: Errors,
    /// What the spans of its breakers say besides, by name.
    pub attributes: BTreeMap<String, String>,
}

impl Service {
    /// The protocol and which errors count, as the kernel is told.
    pub fn protocol_code(&self) -> u16 {
        self.protocol.map_or(0, |protocol| protocol.code(self.errors))
    }
}

/// The rules that hold between one caller and one service.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Index into [`Config::callers`].
    pub caller: usize,
    /// Index into [`Config::services`].
    pub service: usize,
    /// The rules.
    pub policy: Arc<Policy>,
    /// The same as lines of a policy file, everything said that the preset and the default say.
    pub rules: Vec<String>,
    /// How soon the owner wants an endpoint that fails to be shed. Nothing acts on it; `shedder
    /// check` compares it with what the rules can do.
    pub target: Option<Duration>,
    /// Line and column of the file where it begins, as far as it shows, from one.
    pub place: (usize, usize),
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::unreadable(path, &source))?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Checks `text`; complaints call it `name`.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        validate::config(text).map_err(|complaint| complaint.locate(name, text))
    }
}

impl Default for Node {
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(100),
            verdict_ttl: Duration::from_secs(3),
            max_endpoints: shedder_common::map::DEFAULT_SLOTS,
            max_held: 1024,
            forget_after: Duration::from_mins(10),
            socket: PathBuf::from(DEFAULT_SOCKET),
            socket_group: None,
            listen: None,
            metrics_endpoints: 500,
            state_dir: Some(PathBuf::from("/var/lib/shedder")),
            journal: JournalLimits { max_kib: 16 * 1024, files: 4 },
            otlp: None,
            pin_dir: PathBuf::from(DEFAULT_PIN_DIR),
            rescan: Duration::from_millis(500),
            watch: true,
            rules: NodeRules::default(),
        }
    }
}

/// Where the control socket is unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/shedder/shedder.sock";
/// Where links and maps are pinned.
pub const DEFAULT_PIN_DIR: &str = "/sys/fs/bpf/shedder";
