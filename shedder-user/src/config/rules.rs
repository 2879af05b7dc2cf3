//! The rules of a policy or preset, every field optional, so that one overrides another field by
//! field; and their resolution into a checked [`Policy`].

use std::ops::Range;

use super::error::Complaint;
use crate::engine::{InvalidPolicy, Mode, Policy};

mod confidence;
mod half_open;
mod latency;
mod layer;
mod limit;
mod open;
mod recovery;
mod safety;
mod share;
mod trip;

pub(super) use self::half_open::HalfOpen;
pub(super) use self::layer::Layer;
pub(super) use self::open::Open;
pub(super) use self::recovery::{Recovery, Throttle};
pub(super) use self::safety::Safety;
pub(super) use self::trip::{Trip, trip_rules};

use self::layer::layer;

/// The one list of what rules consist of. Calls `$macro!` with what it is given and the list.
macro_rules! with_rules {
    ($macro:ident! { $($given:tt)* }) => {
        $macro! {
            $($given)*
            /// Rules, each of which acts on the breaker by itself.
            trip: $crate::config::rules::Trip,
            /// What happens while a breaker is open, and for how long it is.
            open: $crate::config::rules::Open,
            /// How it finds out whether the endpoint is back.
            half_open: $crate::config::rules::HalfOpen,
            /// How traffic returns then.
            recovery: $crate::config::rules::Recovery,
            /// How a share is shed where opening would be too much.
            throttle: $crate::config::rules::Throttle,
            /// What a breaker may do to the service it belongs to.
            safety: $crate::config::rules::Safety,
            /// A caller that gives up after at least this long has seen a timeout; earlier, it says
            /// nothing.
            #[schemars(extend("x-minimum" = "1ms", "x-maximum" = "1h", "default" = "1s"))]
            caller_timeout: $crate::config::value::Time,
            /// Answers at the start of each connection that are not measured: 1 or 2 for TLS
            /// handshakes.
            #[schemars(extend("minimum" = 0, "maximum" = 255, "default" = 0))]
            turns_to_skip: $crate::config::value::At<u8>,
            /// Whether requests and answers are looked at. With `false` no packet is, and rules
            /// about answers are errors.
            #[schemars(extend("default" = true))]
            answers: $crate::config::value::At<bool>,
        }
    };
}

/// Declares a table of the file that has rules among other things. Flattening would lose unknown
/// keys and places.
macro_rules! table_with_rules {
    (
        $(#[$meta:meta])* struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }
        $($(#[$rule_meta:meta])* $rule:ident: $table:ty,)*
    ) => {
        $(#[$meta])*
        #[derive(Debug, schemars::JsonSchema, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $($(#[$field_meta])* pub(super) $field: $type,)*
            $($(#[$rule_meta])* $rule: Option<$table>,)*
        }

        impl $name {
            /// The rules it sets itself.
            pub(super) fn rules(&self) -> $crate::config::rules::Rules {
                $crate::config::rules::Rules { $($rule: self.$rule.clone(),)* }
            }
        }
    };
}

pub(super) use {table_with_rules, with_rules};

macro_rules! rules {
    ($($(#[$rule_meta:meta])* $rule:ident: $table:ty,)*) => {
        layer! {
            /// The rules of one layer.
            pub(super) struct Rules { $($(#[$rule_meta])* pub(super) $rule: $table,)* }
        }
    };
}

with_rules!(rules! {});

impl Rules {
    /// The policy these rules, which the default preset has completed, make.
    pub(super) fn resolve(&self, name: String, mode: Mode) -> Result<Policy, Complaint> {
        self.check()?;
        let open = required("open", self.open.as_ref())?;
        let policy = Policy {
            name,
            generation: 1,
            mode,
            enforce_percent: 100,
            trip: required("trip", self.trip.as_ref())?.resolve()?,
            shed: open.action()?,
            delay_jitter_ms: open.delay_jitter()?,
            established: open.established()?,
            open: open.rule()?,
            half_open: required("half_open", self.half_open.as_ref())?.rule()?,
            ramp: required("recovery", self.recovery.as_ref())?.rule()?,
            throttle: required("throttle", self.throttle.as_ref())?.rule()?,
            safety: required("safety", self.safety.as_ref())?.rule()?,
            caller_timeout: required("caller_timeout", self.caller_timeout.as_ref())?.duration(),
            turns_to_skip: required("turns_to_skip", self.turns_to_skip.as_ref())?.value,
            answers: required("answers", self.answers.as_ref())?.value,
        };
        policy.try_new().map_err(|invalid| Complaint::maybe_at(self.place_of(&invalid), invalid))
    }

    /// The rules as lines of a policy, one for each table and trip rule.
    pub(super) fn lines(&self) -> Vec<String> {
        let rules = self.trip.iter().flat_map(Layer::entries);
        let rules = rules.map(|(rule, value)| format!("trip.{rule} = {value}"));
        let tables = self.entries().into_iter().filter(|(key, _)| *key != "trip");
        rules.chain(tables.map(|(key, value)| format!("{key} = {value}"))).collect()
    }

    /// Where the field a complaint names stands, as far as that is in the file.
    fn place_of(&self, invalid: &InvalidPolicy) -> Option<Range<usize>> {
        let (field, other) = match invalid {
            InvalidPolicy::NoTrip => ("trip.without", None),
            InvalidPolicy::NeedsAnswers { field } => (*field, Some("answers")),
            InvalidPolicy::SecondOutlier => ("trip.all.outlier", Some("trip.outlier")),
            InvalidPolicy::Range { field, .. } => (*field, None),
            InvalidPolicy::Unreachable { .. } => ("half_open.successes", Some("half_open.tokens")),
            InvalidPolicy::Crossed { greater, lesser, .. } => (*greater, Some(*lesser)),
        };
        // The same rule may stand in `trip` and in `trip.all`, and only one of them is meant.
        let in_all = field.strip_prefix("trip.").map(|rule| format!("trip.all.{rule}"));
        match (self.place(field), in_all.and_then(|field| self.place(&field))) {
            (Some(_), Some(_)) => None,
            (place, place_in_all) => {
                place.or(place_in_all).or_else(|| other.and_then(|field| self.place(field)))
            }
        }
    }
}

fn required<'a, T>(field: &str, value: Option<&'a T>) -> Result<&'a T, Complaint> {
    value.ok_or_else(|| Complaint::whole(format!("{field} is missing and no preset sets it")))
}
