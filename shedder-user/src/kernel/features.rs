//! What this kernel lets the programs do, found by asking it, never by its version.

use std::fmt;

use aya::programs::ProgramType;
use aya::sys::{BpfHelper, is_helper_supported};

use super::{connections, layout};

/// What was found.
#[derive(Debug)]
pub struct Features {
    /// A refused connect may return a chosen error (5.18); without it, it is always `EPERM`.
    pub return_value: bool,
    /// Offset of `sk_err`, or why it is unknown; without it some failures look alike.
    pub sk_err_offset: Result<u32, layout::LayoutError>,
    /// Established connections can be ended, or why not; without it they are kept.
    pub connections: Result<(), connections::Unsupported>,
}

/// Something a kernel lacks, and what that means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degradation {
    /// What is missing.
    pub feature: &'static str,
    /// What happens instead.
    pub consequence: String,
}

impl Features {
    /// Asks the kernel.
    pub fn probe() -> Self {
        let return_value =
            is_helper_supported(ProgramType::CgroupSockAddr, BpfHelper::BPF_FUNC_set_retval);
        Self {
            return_value: return_value.unwrap_or(false),
            sk_err_offset: layout::sk_err_offset(),
            connections: connections::probe(),
        }
    }

    /// Everything missing.
    pub fn degradations(&self) -> Vec<Degradation> {
        let mut missing = Vec::new();
        if !self.return_value {
            missing.push(Degradation {
                feature: "bpf_set_retval (Linux 5.18)",
                consequence: "refused connects fail with EPERM, whatever errno the policy names"
                    .to_owned(),
            });
        }
        if let Err(error) = &self.sk_err_offset {
            missing.push(Degradation {
                feature: "sk_err",
                consequence: format!(
                    "{error}; unreachable hosts and callers that give up are told apart by time alone"
                ),
            });
        }
        if let Err(error) = &self.connections {
            missing.push(Degradation {
                feature: "SOCK_DESTROY",
                consequence: format!(
                    "{error}; established connections are kept, whatever open.established says"
                ),
            });
        }
        missing
    }
}

impl fmt::Display for Degradation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {}: {}", self.feature, self.consequence)
    }
}
