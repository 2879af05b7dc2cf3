//! Values in a file that remember where they stood, and words that stand for something.
//!
//! Invariant: what has been read is of its type; only its range is still open.

use std::cmp::Ordering;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};
use shedder_common::errno::Errno;
use shedder_common::protocol::Protocol;

use super::error::Complaint;
use super::suggestion::did_you_mean;
use crate::printable::printable;

/// A value and its place, if it comes from the file and not from a preset.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Option<Range<usize>>,
}

/// Text with its place.
pub(crate) type Text = At<String>;

/// A duration such as `"1m 30s"`, with its place.
pub(crate) type Time = At<Period>;

/// A duration as people write it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Period(Duration);

/// The errno of a refused connect, by name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal(pub(super) Errno);

/// The protocol of a service's answers, by name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spoken(pub(super) Protocol);

/// By value alone.
impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for At<T> {}

impl<T: Ord> PartialOrd for At<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> Ord for At<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.cmp(&other.value)
    }
}

impl<T> At<T> {
    /// A complaint about this value.
    pub(crate) fn complaint(&self, message: impl Display) -> Complaint {
        Complaint::maybe_at(self.span.clone(), message)
    }
}

impl<T: Copy + PartialOrd + Display> At<T> {
    /// The number, if it is in range.
    pub(crate) fn within(&self, field: &str, range: RangeInclusive<T>) -> Result<T, Complaint> {
        if range.contains(&self.value) {
            return Ok(self.value);
        }
        let (value, least, most) = (self.value, range.start(), range.end());
        Err(self.complaint(format!("{field} is {value}, outside {least} to {most}")))
    }
}

impl Text {
    /// Refuses what cannot be the name of something: nothing, and what would end a line or steer a terminal
    /// wherever it is shown.
    pub(crate) fn check_as_name(&self, kind: &str) -> Result<(), Complaint> {
        let name = &self.value;
        if name.is_empty() {
            return Err(self.complaint(format!("a {kind} needs a name")));
        }
        if printable(name) != name.as_str() {
            let message = format!("{name:?} is no name of a {kind}: use visible characters");
            return Err(self.complaint(message));
        }
        Ok(())
    }

    /// Where the name stands in a list of those there are.
    pub(crate) fn index_in(&self, kind: &str, names: &[&str]) -> Result<usize, Complaint> {
        let wanted = &self.value;
        names.iter().position(|known| known == wanted).ok_or_else(|| {
            let message = if names.is_empty() {
                format!("no {kind} is called {wanted:?}: the file has no [[{kind}]]")
            } else {
                let hint = did_you_mean(wanted, names.iter().copied());
                format!("no {kind} is called {wanted:?}; there are {}{hint}", names.join(", "))
            };
            self.complaint(message)
        })
    }
}

impl Time {
    pub(crate) const fn duration(&self) -> Duration {
        self.value.0
    }

    /// The duration, if it is within bounds.
    pub(crate) fn between(
        &self,
        field: &str,
        least: Duration,
        most: Duration,
    ) -> Result<Duration, Complaint> {
        let value = self.duration();
        if (least..=most).contains(&value) {
            return Ok(value);
        }
        Err(self.complaint(format!("{field} is {value:?}, outside {least:?} to {most:?}")))
    }
}

/// A share as thousandths; ranges other than 0 to 1 are checked where the policy is made.
pub(super) fn permille(field: &str, share: &At<f64>) -> Result<u16, Complaint> {
    let value = share.within(field, 0.0..=1.0)?;
    let thousandths = (value * 1000.0).round();
    if (value * 1000.0 - thousandths).abs() > 1e-6 {
        return Err(share.complaint(format!(
            "{field} is {value}, finer than thousandths; write at most three decimals"
        )));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 1000"
    )]
    let permille = thousandths as u16;
    Ok(permille)
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = toml::Spanned::<T>::deserialize(deserializer)?;
        let span = Some(spanned.span());
        Ok(Self { value: spanned.into_inner(), span })
    }
}

impl<T: Serialize> Serialize for At<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map(Self).map_err(|error| {
            D::Error::custom(format!(
                "{text:?} is no duration ({error}); write 250ms, 10s or \"1m 30s\""
            ))
        })
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The greatest unit of which it is a whole number.
        let nanos = self.0.as_nanos();
        let units = [
            ("h", 3_600_000_000_000),
            ("m", 60_000_000_000),
            ("s", 1_000_000_000),
            ("ms", 1_000_000),
            ("us", 1_000),
        ];
        let unit =
            units.into_iter().find(|(_, size)| nanos >= *size && nanos.is_multiple_of(*size));
        match unit {
            Some((unit, size)) => serializer.collect_str(&format_args!("{}{unit}", nanos / size)),
            None if nanos == 0 => serializer.serialize_str("0s"),
            None => serializer.collect_str(&format_args!("{nanos}ns")),
        }
    }
}

impl<'de> Deserialize<'de> for Refusal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Errno::from_name(&name).map(Self).ok_or_else(|| {
            let known: Vec<_> = Errno::ALL.into_iter().map(Errno::name).collect();
            D::Error::custom(format!(
                "{name:?} cannot be returned by a refused connect; use one of {}",
                known.join(", ")
            ))
        })
    }
}

impl Serialize for Refusal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for Spoken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = Protocol::ALL.into_iter().find(|protocol| protocol.name() == name);
        known.map(Self).ok_or_else(|| {
            D::Error::custom(format!(
                "{name:?} is no protocol whose answers can be read; use {}",
                alternatives(&Protocol::ALL.map(Protocol::name)),
            ))
        })
    }
}

/// Lets words of the file stand for the variants of a type.
macro_rules! words {
    ($kind:literal, $type:ty { $($word:literal => $variant:path),+ $(,)? }) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match String::deserialize(deserializer)?.as_str() {
                    $($word => Ok($variant),)+
                    other => Err(serde::de::Error::custom(format!(
                        "{other:?} is no {}; use {}",
                        $kind,
                        $crate::config::value::alternatives(&[$($word),+]),
                    ))),
                }
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $kind.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": [$($word),+] })
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(match self {
                    $($variant => $word,)+
                })
            }
        }
    };
}

pub(super) use words;

/// `a, b or c`.
pub(super) fn alternatives(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [word] => (*word).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
