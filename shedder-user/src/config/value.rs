//! Values in a file that remember where they stood.

use std::time::Duration;

use serde::Deserialize;
use shedder_common::errno::Errno;
use toml::Spanned;

use super::error::Complaint;

/// Text with its place.
pub(super) type Text = Spanned<String>;

/// A duration such as `"1m 30s"`, with its place.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Time(Text);

/// A number with its place.
pub(super) type Number<T> = Spanned<T>;

impl Time {
    pub(super) fn duration(&self) -> Result<Duration, Complaint> {
        humantime::parse_duration(self.0.get_ref()).map_err(|error| {
            let text = self.0.get_ref();
            Complaint::at(
                self.0.span(),
                format!("{text:?} is no duration ({error}); write 250ms, 10s or \"1m 30s\""),
            )
        })
    }

    pub(super) fn span(&self) -> std::ops::Range<usize> {
        self.0.span()
    }
}

pub(super) fn errno(text: &Text) -> Result<Errno, Complaint> {
    Errno::from_name(text.get_ref()).ok_or_else(|| {
        let known: Vec<_> = Errno::ALL.into_iter().map(Errno::name).collect();
        let name = text.get_ref();
        Complaint::at(
            text.span(),
            format!(
                "{name:?} cannot be returned by a refused connect; use one of {}",
                known.join(", ")
            ),
        )
    })
}

/// A share between 0 and 1 as thousandths; ranges are checked where the policy is made.
pub(super) fn permille(field: &str, share: &Number<f64>) -> Result<u16, Complaint> {
    let value = *share.get_ref();
    if !(0.0..=1.0).contains(&value) {
        return Err(Complaint::at(share.span(), format!("{field} is {value}, outside 0 to 1")));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 1000"
    )]
    let permille = (value * 1000.0).round() as u16;
    Ok(permille)
}
