//! The archive a kernel unpacks as its first file system: `cpio` in the form `newc`.
//!
//! Invariant: a directory is written before what is in it, and nothing twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path};

use anyhow::{Context, Result};

/// Files for a guest, all of them root's.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    paths: BTreeSet<String>,
}

impl Archive {
    /// Adds an empty directory, and those above it.
    pub(super) fn add_directory(&mut self, path: &str) {
        let mut above = String::new();
        for part in Path::new(path).components() {
            if let Component::Normal(name) = part {
                if !above.is_empty() {
                    above.push('/');
                }
                above.push_str(&name.to_string_lossy());
                if self.paths.insert(above.clone()) {
                    self.write(&above, DIRECTORY, &[]);
                }
            }
        }
    }

    /// Adds a file that may be executed; one that is there already stays as it is.
    pub(super) fn add_file(&mut self, path: &str, content: &[u8]) {
        let path = path.trim_start_matches('/');
        if let Some((directory, _)) = path.rsplit_once('/') {
            self.add_directory(directory);
        }
        if self.paths.insert(path.to_owned()) {
            self.write(path, FILE, content);
        }
    }

    /// Adds a copy of a file of this machine, following links.
    pub(super) fn add_copy(&mut self, path: &str, source: &Path) -> Result<()> {
        let content =
            fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
        self.add_file(path, &content);
        Ok(())
    }

    /// The finished archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.write("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn write(&mut self, path: &str, mode: u32, content: &[u8]) {
        let number = if mode == 0 { 0 } else { self.paths.len() };
        let links = 1;
        let name_size = path.len() + 1;
        // Inode, mode, owner, group, links, time, size, four device numbers, name, checksum.
        let fields = format!(
            "070701{number:08x}{mode:08x}{0:08x}{0:08x}{links:08x}{0:08x}{size:08x}{0:08x}{0:08x}{0:08x}{0:08x}{name_size:08x}{0:08x}",
            0,
            size = content.len(),
        );
        self.bytes.extend_from_slice(fields.as_bytes());
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    /// Every part begins at a multiple of four.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_755;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_come_before_their_files_and_once() {
        let mut archive = Archive::default();
        archive.add_file("/a/b/one", b"1");
        archive.add_file("/a/b/two", b"22");
        archive.add_file("/a/b/one", b"again");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes);
        let names: Vec<&str> = text
            .split("070701")
            .skip(1)
            .map(|entry| entry[104..].split('\0').next().expect("a name ends"))
            .collect();
        assert_eq!(names, ["a", "a/b", "a/b/one", "a/b/two", "TRAILER!!!"]);
    }
}
