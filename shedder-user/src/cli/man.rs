//! `shedder man`: the manual pages.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};

use super::{Cli, Failure};

/// Write the manual pages, one for each command, into a directory
///
/// For example: shedder man /usr/local/share/man/man1
#[derive(Debug, Args)]
pub(super) struct Man {
    /// A directory that there is
    directory: PathBuf,
}

impl Man {
    pub(super) fn execute(self) -> Result<(), Failure> {
        Ok(write(&self.directory)?)
    }
}

fn write(directory: &Path) -> anyhow::Result<()> {
    clap_mangen::generate_to(Cli::command(), directory)
        .with_context(|| format!("manual pages cannot be written into {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let directory = tempfile::tempdir().expect("a directory");
        write(directory.path()).expect("it is ours");
        let page = |name: &str| {
            let page = directory.path().join(format!("{name}.1"));
            fs::read_to_string(page).unwrap_or_else(|error| panic!("{name}: {error}"))
        };
        assert!(page("shedder").contains("shedder run"));
        for command in Cli::command().get_subcommands() {
            let page = page(&format!("shedder-{}", command.get_name()));
            assert!(page.contains("SYNOPSIS"), "{page}");
        }
    }

    #[test]
    fn a_directory_that_is_missing_is_named() {
        let error = write(Path::new("/nowhere/man1")).expect_err("there is none").to_string();
        assert_eq!(error, "manual pages cannot be written into /nowhere/man1");
    }
}
