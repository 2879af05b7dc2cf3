//! Numbers and texts as bytes.
//!
//! Invariant: reading never looks past the end, and takes no more memory than there are bytes.

use super::reader::Problem;

/// Appends a number, seven bits a byte, the least first.
pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Appends a text and its length. What is longer than [`MOST_TEXT`] is cut.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(MOST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    put(out, end as u64);
    out.extend_from_slice(&text.as_bytes()[..end]);
}

/// What is left to be read of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> Result<u8, Problem> {
        let (first, rest) = self.0.split_first().ok_or(Problem::Short)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn number(&mut self) -> Result<u64, Problem> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(Problem::Number);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Problem::Number)
    }

    /// A number no greater than `most`.
    pub(super) fn at_most(&mut self, most: u64) -> Result<u64, Problem> {
        Some(self.number()?).filter(|number| *number <= most).ok_or(Problem::Number)
    }

    pub(super) fn text(&mut self) -> Result<String, Problem> {
        let length = usize::try_from(self.number()?).map_err(|_too_long| Problem::Text)?;
        if length > MOST_TEXT {
            return Err(Problem::Text);
        }
        let (text, rest) = self.0.split_at_checked(length).ok_or(Problem::Short)?;
        self.0 = rest;
        let text: &'a str = str::from_utf8(text).map_err(|_no_text| Problem::Text)?;
        Ok(text.to_owned())
    }
}

/// The longest text, in bytes.
pub(super) const MOST_TEXT: usize = 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_put_is_read(number: u64, text in ".{0,40}") {
            let mut out = Vec::new();
            put(&mut out, number);
            put_text(&mut out, &text);
            let mut bytes = Bytes(&out);
            prop_assert_eq!(bytes.number(), Ok(number));
            prop_assert_eq!(bytes.text(), Ok(text));
            prop_assert!(bytes.is_empty());
        }
    }

    #[test]
    fn a_number_too_long_is_none() {
        assert_eq!(Bytes(&[0xff; 9]).number(), Err(Problem::Short));
        assert_eq!(Bytes(&[0xff; 11]).number(), Err(Problem::Number));
        // The tenth byte has room for one bit.
        let mut most = [0xff; 10];
        most[9] = 1;
        assert_eq!(Bytes(&most).number(), Ok(u64::MAX));
        most[9] = 2;
        assert_eq!(Bytes(&most).number(), Err(Problem::Number));
    }

    #[test]
    fn a_long_text_is_cut_between_letters() {
        let mut out = Vec::new();
        put_text(&mut out, &"ä".repeat(MOST_TEXT));
        assert_eq!(Bytes(&out).text().map(|text| text.len()), Ok(MOST_TEXT));
        put_text(&mut out, &format!("a{}", "ä".repeat(MOST_TEXT)));
        let mut bytes = Bytes(&out);
        assert!(bytes.text().is_ok() && bytes.text().is_ok_and(|text| text.len() == MOST_TEXT - 1));
    }
}
