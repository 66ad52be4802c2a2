//! GPT-2's byte alphabet: every byte is written as one printable character, so that a vocabulary of
//! arbitrary bytes is a list of strings.
//!
//! Printable Latin-1 stands for itself; the other 68 bytes take U+0100 and up, in order.

/// The character that stands for `byte`.
pub(super) fn to_char(byte: u8) -> char {
    let code = u32::from(byte);
    let code = match byte {
        0x00..=0x20 => 0x100 + code,
        0x7f..=0xa0 => 0x121 + (code - 0x7f),
        0xad => 0x143,
        _ => code,
    };
    char::from_u32(code).expect("below the surrogates")
}

/// The byte that `c` stands for, if it is in the alphabet.
pub(super) fn to_byte(c: char) -> Option<u8> {
    let code = u32::from(c);
    let code = match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => code,
        0x100..=0x120 => code - 0x100,
        0x121..=0x142 => code - 0x121 + 0x7f,
        0x143 => 0xad,
        _ => return None,
    };
    Some(code as u8)
}

/// Appends the bytes that a token stands for: through the alphabet where every character is in it,
/// else the text itself, as Hugging Face's ByteLevel decoder does.
pub(super) fn decode_into(token: &str, out: &mut Vec<u8>) {
    let start = out.len();
    for c in token.chars() {
        match to_byte(c) {
            Some(byte) => out.push(byte),
            None => {
                out.truncate(start);
                out.extend_from_slice(token.as_bytes());
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alphabet_is_the_one_of_tokenizers() {
        let theirs = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
        let ours: std::collections::HashSet<char> = (0..=255).map(to_char).collect();
        assert_eq!(ours.len(), 256);
        assert!(theirs.iter().all(|c| ours.contains(c)));
        for byte in 0..=255 {
            assert_eq!(to_byte(to_char(byte)), Some(byte));
        }
        assert_eq!((to_char(b' '), to_char(b'\n'), to_char(0xad)), ('Ġ', 'Ċ', 'Ń'));
        assert_eq!(to_byte('ń'), None);
    }

    #[test]
    fn a_token_outside_the_alphabet_stands_for_itself() {
        let mut out = b"x".to_vec();
        decode_into("aĠ語", &mut out);
        assert_eq!(out, "xaĠ語".as_bytes());
        decode_into("Ġb", &mut out);
        assert!(out.ends_with(b"\xe8\xaa\x9e b"));
    }
}
