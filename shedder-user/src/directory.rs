//! Directories of the daemon's own: for root, and for one group that may look inside.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

/// Makes the directory if need be, and lets the group through one that only root could enter.
pub(crate) fn prepare(directory: &Path, group: Option<u32>) -> io::Result<()> {
    if !directory.exists() {
        DirBuilder::new().recursive(true).mode(0o750).create(directory)?;
    }
    let metadata = fs::metadata(directory)?;
    let is_as_we_make_it =
        metadata.uid() == 0 && metadata.gid() == 0 && metadata.mode() & 0o777 == 0o750;
    if is_as_we_make_it && group.is_some() {
        std::os::unix::fs::chown(directory, None, group)?;
    }
    Ok(())
}
