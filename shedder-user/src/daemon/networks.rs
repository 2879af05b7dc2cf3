//! The network namespaces in which endpoints are told apart, and how people call them.

use std::collections::BTreeMap;

use crate::kernel::network;

/// A network namespace an endpoint is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Network {
    /// As the kernel's programs know it.
    pub(super) cookie: u64,
    /// As `readlink /proc/PID/ns/net` prints it; by its cookie where no process was left to ask.
    pub(super) name: String,
}

/// Those whose names are known.
#[derive(Debug, Default)]
pub(super) struct Networks(BTreeMap<u64, String>);

impl Networks {
    /// The namespace with this cookie, in which the process `pid` has just connected.
    pub(super) fn meet(&mut self, cookie: u64, pid: u32) -> Network {
        if let Some(name) = self.0.get(&cookie) {
            return Network { cookie, name: name.clone() };
        }
        // The process may have ended, and another one have its number.
        let found = network::of_process(pid).ok().filter(|found| found.cookie == cookie);
        let Some(found) = found else {
            return Network { cookie, name: format!("cookie:{cookie}") };
        };
        let name = format!("net:[{}]", found.inode);
        self.0.insert(cookie, name.clone());
        Network { cookie, name }
    }

    pub(super) fn forget(&mut self, cookie: u64) {
        self.0.remove(&cookie);
    }
}
