//! Complaints about a policy file: one line, with its place.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;

use super::suggestion;
use crate::printable::printable;

/// What is wrong with a policy file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file's name.
    pub file: String,
    /// Line and column, from one; nothing when it concerns the file as a whole.
    pub place: Option<(usize, usize)>,
    /// What is wrong and what to do.
    pub message: String,
}

/// A complaint that knows its bytes but not yet their line.
#[derive(Debug)]
pub(crate) struct Complaint {
    span: Option<Range<usize>>,
    message: String,
}

impl ConfigError {
    pub(crate) fn unreadable(path: &Path, source: &io::Error) -> Self {
        Self {
            file: path.display().to_string(),
            place: None,
            message: format!("cannot be read: {source}"),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "{}:{line}:{column}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for ConfigError {}

impl Complaint {
    /// About the bytes `span`, if they are known.
    pub(crate) fn maybe_at(span: Option<Range<usize>>, message: impl fmt::Display) -> Self {
        Self { span, message: message.to_string() }
    }

    /// About the file as a whole.
    pub(crate) fn whole(message: impl fmt::Display) -> Self {
        Self { span: None, message: message.to_string() }
    }

    /// The same complaint, about `span` if it had no place of its own.
    pub(crate) fn or_at(self, span: Option<Range<usize>>) -> Self {
        Self { span: self.span.or(span), ..self }
    }

    /// Turns bytes into line and column, and what the file has of a key or a value into what can be shown.
    pub(crate) fn locate(self, file: &str, text: &str) -> ConfigError {
        let place = self.span.map(|span| place(text, span.start));
        ConfigError { file: file.to_owned(), place, message: printable(&self.message).into_owned() }
    }
}

impl From<toml::de::Error> for Complaint {
    fn from(error: toml::de::Error) -> Self {
        // The library's text may span lines; a complaint is one.
        let said = error.message().lines().collect::<Vec<_>>().join(", ");
        let message = format!("{said}{}", suggestion::for_quoted(&said));
        Self { span: error.span(), message }
    }
}

/// Line and column, from one, of a byte offset.
pub(super) fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|character| *character != '\n').count() + 1;
    (line, column)
}
