//! Layers: the same settings said in several places, of which the upper ones win field by field.
//!
//! Invariant: a setting that excludes others of the layers below takes their place; settings that
//! exclude each other within one layer are a complaint.

use std::ops::Range;

use serde::Serialize;

use super::super::error::Complaint;
use super::super::value::{At, Text};

/// A setting, or a table of settings each of which may be absent.
pub(in crate::config) trait Layer: Sized {
    /// This where it says something, `base` where it does not.
    fn over(self, base: Self) -> Self;

    /// The same without places: what is said elsewhere than in the file one complains about.
    fn without_places(self) -> Self;

    /// Where the setting at `path`, such as `open.base`, stands; where this begins for no path.
    fn place(&self, path: &str) -> Option<Range<usize>>;

    /// Complains about settings that exclude each other.
    fn check(&self) -> Result<(), Complaint> {
        Ok(())
    }

    /// Drops the setting called `key`.
    fn forget(&mut self, _key: &str) {}

    /// The settings given, each in one line of the file.
    fn entries(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

impl<T> Layer for At<T> {
    fn over(self, _base: Self) -> Self {
        self
    }

    fn without_places(self) -> Self {
        Self { span: None, ..self }
    }

    fn place(&self, path: &str) -> Option<Range<usize>> {
        self.span.clone().filter(|_| path.is_empty())
    }
}

/// Names add up.
impl Layer for Vec<Text> {
    fn over(mut self, base: Self) -> Self {
        for name in base {
            if !self.contains(&name) {
                self.push(name);
            }
        }
        self
    }

    fn without_places(self) -> Self {
        self.into_iter().map(Layer::without_places).collect()
    }

    fn place(&self, path: &str) -> Option<Range<usize>> {
        self.first()?.place(path)
    }
}

impl<L: Layer> Layer for Option<L> {
    fn over(self, base: Self) -> Self {
        match (self, base) {
            (Some(over), Some(base)) => Some(over.over(base)),
            (over, base) => over.or(base),
        }
    }

    fn without_places(self) -> Self {
        self.map(L::without_places)
    }

    fn place(&self, path: &str) -> Option<Range<usize>> {
        self.as_ref()?.place(path)
    }

    fn check(&self) -> Result<(), Complaint> {
        self.as_ref().map_or(Ok(()), L::check)
    }
}

/// Declares a table of settings, each of which may be absent, and of which those in one `either`
/// exclude each other. A type that has more to say about the layer below names a function of both
/// under `first`.
macro_rules! layer {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field_visibility:vis $field:ident: $type:ty,)*
        }
        $(either { $($alternative:ident),+ })*
        $(first $prepare:path)?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, schemars::JsonSchema, serde::Deserialize, serde::Serialize)]
        #[serde(deny_unknown_fields)]
        $visibility struct $name {
            $(
                #[serde(skip_serializing_if = "Option::is_none")]
                $(#[$field_meta])*
                $field_visibility $field: Option<$type>,
            )*
        }

        impl $crate::config::rules::layer::Layer for $name {
            fn over(self, mut base: Self) -> Self {
                $($prepare(&self, &mut base);)?
                $(
                    if $(self.$alternative.is_some())||+ {
                        $(if self.$alternative.is_none() { base.$alternative = None; })+
                    }
                )*
                Self {
                    $($field: $crate::config::rules::layer::Layer::over(self.$field, base.$field.take()),)*
                }
            }

            fn without_places(self) -> Self {
                Self {
                    $($field: $crate::config::rules::layer::Layer::without_places(self.$field),)*
                }
            }

            fn place(&self, path: &str) -> Option<std::ops::Range<usize>> {
                let (key, rest) = path.split_once('.').unwrap_or((path, ""));
                if key.is_empty() {
                    return None$(.or_else(|| self.$field.place("")))*;
                }
                $(
                    if key == $crate::config::rules::layer::key(stringify!($field)) {
                        return self.$field.place(rest);
                    }
                )*
                None
            }

            fn check(&self) -> Result<(), $crate::config::error::Complaint> {
                $(
                    $crate::config::rules::layer::one_of(&[
                        $((stringify!($alternative), self.$alternative.is_some(), self.$alternative.place(""))),+
                    ])?;
                )*
                $(self.$field.check()?;)*
                Ok(())
            }

            fn entries(&self) -> Vec<(&'static str, String)> {
                let mut entries = Vec::new();
                $(
                    if let Some(value) = &self.$field {
                        let key = $crate::config::rules::layer::key(stringify!($field));
                        entries.push((key, $crate::config::rules::layer::inline(value)));
                    }
                )*
                entries
            }

            fn forget(&mut self, key: &str) {
                $(
                    if key == $crate::config::rules::layer::key(stringify!($field)) {
                        self.$field = None;
                    }
                )*
            }
        }
    };
}

pub(in crate::config) use layer;

/// The key of a field: a Rust keyword is written with `r#`.
pub(in crate::config) fn key(field: &'static str) -> &'static str {
    field.trim_start_matches("r#")
}

/// A value as the file has it, on one line.
pub(in crate::config) fn inline(value: &impl Serialize) -> String {
    let mut text = String::new();
    value
        .serialize(toml::ser::ValueSerializer::new(&mut text))
        .expect("settings are plain values and tables of them");
    text
}

/// Complains when more than one of these settings is given.
pub(in crate::config) fn one_of(
    settings: &[(&str, bool, Option<Range<usize>>)],
) -> Result<(), Complaint> {
    let mut given = settings.iter().filter(|(_, is_given, _)| *is_given);
    let (Some((first, ..)), Some((second, _, place))) = (given.next(), given.next()) else {
        return Ok(());
    };
    let message = format!("{first} and {second} exclude each other; remove one");
    Err(Complaint::maybe_at(place.clone(), message))
}
