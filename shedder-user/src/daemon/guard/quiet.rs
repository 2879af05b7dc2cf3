//! Callers for whose further endpoints there is no room: the kernel does not tell of them.
//!
//! Invariant: what has a breaker is decided and measured as ever.

use tracing::warn;

use super::Guard;
use crate::config::Config;
use crate::kernel::Kernel;

impl Guard {
    /// Lets the kernel tell of new endpoints of a caller, or not: what there is no room for need not be
    /// told with every connect.
    pub(in crate::daemon) fn set_quiet(
        &mut self,
        kernel: &mut Kernel,
        config: &Config,
        caller: usize,
        is_quiet: bool,
    ) {
        let is_new = if is_quiet { self.quiet.insert(caller) } else { self.quiet.remove(&caller) };
        if !is_new {
            return;
        }
        let paths: Vec<String> =
            self.iter().filter(|(_, it, _)| *it == caller).map(|it| it.0.to_owned()).collect();
        for path in paths {
            let row = self.row(config, &path, caller);
            let Some(guarded) = self.attached.get_mut(&path) else { continue };
            guarded.row = row;
            let needs = guarded.needs;
            if let Err(error) =
                kernel.adapt(&mut guarded.attachment, row, needs, self.pins.as_ref())
            {
                // It is told of more than it need be, or of less until the next time.
                warn!(cgroup = path, %error, "cannot be told how much to tell");
            }
        }
    }

    /// The callers the kernel tells nothing new of.
    pub(in crate::daemon) fn quiet(&self) -> Vec<usize> {
        self.quiet.iter().copied().collect()
    }
}
