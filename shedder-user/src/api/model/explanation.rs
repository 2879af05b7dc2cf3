//! Answer to `GET /v1/explain`: why connects are refused. The contract of [`super`] holds here too.

use serde::{Deserialize, Serialize};

use super::{Breaker, Reason};

/// Why connects are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The breakers concerned.
    pub breakers: Vec<Explained>,
    /// Refused connects the kernel told of, newest first: the first of each verdict and of each process,
    /// and one in 128 of the rest.
    pub refusals: Vec<Refusal>,
}

/// A breaker, in words. `breaker.reason` says why it is what it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// The breaker as in the status.
    pub breaker: Breaker,
    /// What becomes of connects now.
    pub effect: String,
    /// What time alone will bring.
    pub until: Option<String>,
    /// What would let a connect through.
    pub remedy: String,
    /// Of the policy that decides: counts the reloads of its file.
    pub generation: u32,
    /// Its rules as lines of a policy file, with what preset and defaults say.
    #[serde(default)]
    pub rules: Vec<String>,
}

/// One refused connect or datagram.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// RFC 3339.
    pub at: String,
    /// The process.
    pub pid: u32,
    /// What it calls itself.
    pub comm: String,
    /// Its user.
    pub uid: u32,
    /// The cgroup it is in now; nothing when it has ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cgroup: Option<String>,
    /// The number of the cgroup it was in then.
    pub cgroup_id: u64,
    /// Where its socket was bound to, if to anything.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<String>,
    /// Who called, as the policy file names it.
    pub caller: String,
    /// What was called.
    pub service: String,
    /// Address and port.
    pub endpoint: String,
    /// The network namespace, where the policy tells endpoints apart by it: `net:[inode]`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub network: Option<String>,
    /// `tcp`, or `udp` for a datagram or the connect of a UDP socket.
    #[serde(default)]
    pub transport: String,
    /// The error the call returned.
    pub errno: String,
    /// `open`, `no_token` (half-open, every probe was taken), `not_its_turn` (only a share goes through)
    /// or `burst` (the failures in a row had reached the limit).
    pub cause: String,
    /// What the breaker did when the daemon heard of it.
    pub state: String,
    /// And why.
    pub reason: Option<Reason>,
    /// Connects to the endpoint refused until then, or datagrams if it is one, this one included.
    pub refused: u64,
}
