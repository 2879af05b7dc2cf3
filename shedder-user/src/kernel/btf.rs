//! Where a field lies in a structure of the kernel, read from the types it publishes (BTF).
//!
//! Invariant: any bytes are survived; what is not understood is an error that says where.
//!
//! The format is the kernel's: <https://docs.kernel.org/bpf/btf.html>.

/// Why bytes are not BTF as far as it is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// They end within something.
    #[error("it is cut off at byte {0}")]
    Short(usize),
    /// They do not begin as BTF in this machine's byte order does.
    #[error("it begins with {0:#06x}, not {MAGIC:#06x}")]
    Magic(u16),
    /// The length of such a type is not known.
    #[error("the type at byte {at} is of the unknown kind {kind}")]
    Kind {
        /// By the kernel's `BTF_KIND_` constants.
        kind: u32,
        /// From the beginning.
        at: usize,
    },
}

/// The offset in bits of `field`, a direct member of `struct structure`; none if there is none.
pub(super) fn bit_offset(
    btf: &[u8],
    structure: &str,
    field: &str,
) -> Result<Option<u32>, BtfError> {
    let btf = Bytes(btf);
    let magic = u16::from_ne_bytes(btf.take(0)?);
    if magic != MAGIC {
        return Err(BtfError::Magic(magic));
    }
    let header = btf.place(4)?;
    let types = header + btf.place(8)?;
    let end = types + btf.place(12)?;
    let strings = header + btf.place(16)?;
    // Whatever has a name begins with where it is.
    let is_named = |at, name| Ok(btf.is_string(strings + btf.place(at)?, name));

    let mut at = types;
    while at < end {
        let info = btf.word(at + 4)?;
        let (kind, count) = ((info >> 24) & 0x1f, (info & 0xffff) as usize);
        let rest = at + TYPE;
        if kind == STRUCT && is_named(at, structure)? {
            for member in (0..count).map(|number| rest + number * MEMBER) {
                if is_named(member, field)? {
                    let offset = btf.word(member + 8)?;
                    // In a structure with bit fields the upper byte is the width of each.
                    let has_widths = info >> 31 == 1;
                    return Ok(Some(if has_widths { offset & 0x00ff_ffff } else { offset }));
                }
            }
        }
        at = rest + length_of_rest(kind, count).ok_or(BtfError::Kind { kind, at })?;
    }
    Ok(None)
}

/// The bytes that follow the first [`TYPE`] of a type of which `count` says how many things it has.
fn length_of_rest(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        // A pointer, a forward declaration, a typedef, volatile, const, restrict, a function, a
        // floating-point number, a tag of a type.
        2 | 7..=12 | 16 | 18 => 0,
        // An integer, a variable, a tag of a declaration.
        1 | 14 | 17 => 4,
        // An array.
        3 => 12,
        // A structure, a union, a section of data, an enumeration of 64 bits.
        STRUCT | 5 | 15 | 19 => count * MEMBER,
        // An enumeration, the prototype of a function.
        6 | 13 => count * 8,
        _ => return None,
    })
}

#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const COUNT: usize>(self, at: usize) -> Result<[u8; COUNT], BtfError> {
        let found = self.0.get(at..).and_then(|rest| rest.first_chunk());
        found.copied().ok_or(BtfError::Short(self.0.len()))
    }

    fn word(self, at: usize) -> Result<u32, BtfError> {
        self.take(at).map(u32::from_ne_bytes)
    }

    /// A word that says where something is, or how long.
    fn place(self, at: usize) -> Result<usize, BtfError> {
        self.word(at).map(|word| word as usize)
    }

    fn is_string(self, at: usize, wanted: &str) -> bool {
        let rest = self.0.get(at..).and_then(|rest| rest.strip_prefix(wanted.as_bytes()));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }
}

const MAGIC: u16 = 0xeb9f;
/// `BTF_KIND_STRUCT`.
const STRUCT: u32 = 4;
/// `struct btf_type`: its name, kind and count, size or type; four bytes each.
const TYPE: usize = 12;
/// `struct btf_member`: its name, type and offset; four bytes each.
const MEMBER: usize = 12;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_member_is_found_behind_types_of_every_kind() {
        let offset = |field| bit_offset(&sample(), "sock", field);
        assert_eq!(offset("sk_err"), Ok(Some(640)));
        assert_eq!(offset("sk_er"), Ok(None), "a name is whole");
        assert_eq!(offset("narrow"), Ok(None), "it is another structure's");
        assert_eq!(bit_offset(&sample(), "socket", "sk_err"), Ok(None));
        assert_eq!(bit_offset(&sample(), "bits", "narrow"), Ok(Some(5)), "without its width");
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let mut other = sample();
        other[0] = 0;
        assert!(matches!(bit_offset(&other, "sock", "sk_err"), Err(BtfError::Magic(_))));
        let strange = btf(&[vec![0, 31 << 24, 0]], b"\0");
        let error = bit_offset(&strange, "sock", "sk_err").expect_err("nobody knows it");
        assert_eq!(error.to_string(), "the type at byte 24 is of the unknown kind 31");
        let cut = &sample()[..60];
        assert_eq!(bit_offset(cut, "sock", "sk_err"), Err(BtfError::Short(60)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            length in 0..400_usize,
        ) {
            let mut bytes = sample();
            for (index, value) in flips {
                let at = index.index(bytes.len());
                bytes[at] = value;
            }
            bytes.truncate(length);
            // Above all it returns.
            if let Err(BtfError::Short(end)) = bit_offset(&bytes, "sock", "sk_err") {
                prop_assert_eq!(end, bytes.len());
            }
        }
    }

    /// A type of each kind, then two structures.
    fn sample() -> Vec<u8> {
        let strings = b"\0sock\0sk_err\0bits\0narrow\0";
        let (sock, sk_err, bits, narrow) = (1, 6, 13, 18);
        let mut types: Vec<Vec<u32>> = Vec::new();
        for kind in (1..=19).filter(|kind| *kind != STRUCT) {
            let length = length_of_rest(kind, 2).expect("it is known") / 4;
            let rest = std::iter::repeat_n(sk_err, length);
            types.push([sk_err, (kind << 24) | 2, 0].into_iter().chain(rest).collect());
        }
        types.push(vec![bits, (1 << 31) | (STRUCT << 24) | 1, 4, narrow, 1, (3 << 24) | 5]);
        types.push(vec![sock, (STRUCT << 24) | 2, 96, narrow + 6, 1, 0, sk_err, 1, 640]);
        btf(&types, strings)
    }

    fn btf(types: &[Vec<u32>], strings: &[u8]) -> Vec<u8> {
        let types: Vec<u8> = types.concat().iter().flat_map(|word| word.to_ne_bytes()).collect();
        let [length, names] =
            [types.len(), strings.len()].map(|it| u32::try_from(it).expect("it is short"));
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        for word in [24, 0, length, length, names] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(types);
        bytes.extend(strings);
        bytes
    }
}
