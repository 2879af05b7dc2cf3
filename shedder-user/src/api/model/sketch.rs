//! Answer to `GET /api/v1/explain` over TCP: an [`Explanation`] without what is only for those who may use the
//! control socket. The contract of [`super`] holds here too.

use serde::{Deserialize, Serialize};

use super::{Explained, Explanation, Reason, Refusal};

/// Why connects are refused, without a word about whose they were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sketch {
    /// The breakers concerned.
    pub breakers: Vec<Explained>,
    /// Refused connects, newest first.
    pub refusals: Vec<Refused>,
}

/// A [`Refusal`] without process, command, user, cgroup and socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// RFC 3339.
    pub at: String,
    /// Who called, as the policy file names it.
    pub caller: String,
    /// What was called.
    pub service: String,
    /// Address and port.
    pub endpoint: String,
    /// The network namespace, where the policy tells endpoints apart by it: `net:[inode]`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub network: Option<String>,
    /// `tcp` or `udp`.
    pub transport: String,
    /// The error the call returned.
    pub errno: String,
    /// As in [`Refusal::cause`].
    pub cause: String,
    /// What the breaker did when the daemon heard of it.
    pub state: String,
    /// And why.
    pub reason: Option<Reason>,
    /// Connects or datagrams to the endpoint refused until then, this one included.
    pub refused: u64,
}

impl From<Explanation> for Sketch {
    fn from(Explanation { breakers, refusals }: Explanation) -> Self {
        Self { breakers, refusals: refusals.into_iter().map(Refused::from).collect() }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        // Named one by one, so that a new field stays here until somebody decides about it.
        Self {
            at: refusal.at,
            caller: refusal.caller,
            service: refusal.service,
            endpoint: refusal.endpoint,
            network: refusal.network,
            transport: refusal.transport,
            errno: refusal.errno,
            cause: refusal.cause,
            state: refusal.state,
            reason: refusal.reason,
            refused: refusal.refused,
        }
    }
}
