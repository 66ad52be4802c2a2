//! Ids to text, one at a time.

use super::Tokenizer;
use crate::Result;
use std::sync::Arc;

/// Streams ids to text; never yields half a character. The pieces and what [`TokenDecoder::finish`] returns
/// make up exactly [`Tokenizer::decode`] of all the ids. One id costs its own bytes, whatever came before.
pub struct TokenDecoder {
    tokenizer: Arc<Tokenizer>,
    skip_special: bool,
    /// The start of a character whose other bytes are still to come, at most three bytes between calls.
    pending: Vec<u8>,
}

impl TokenDecoder {
    /// Starts a stream. With `skip_special`, control tokens yield nothing.
    pub fn new(tokenizer: Arc<Tokenizer>, skip_special: bool) -> Self {
        TokenDecoder { tokenizer, skip_special, pending: Vec::new() }
    }

    /// The text that `id` completes, possibly empty. An id without a token yields nothing, as in
    /// [`Tokenizer::decode`].
    pub fn push(&mut self, id: u32) -> Result<String> {
        self.tokenizer.bytes_into(id, self.skip_special, &mut self.pending);
        Ok(take_whole_characters(&mut self.pending))
    }

    /// What is left at the end: an incomplete character as U+FFFD, as Hugging Face decodes it.
    pub fn finish(&mut self) -> String {
        let rest = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        rest
    }
}

/// Takes all but an incomplete last character off `bytes`; bytes that no continuation can make valid become
/// U+FFFD, one for each maximal invalid stretch, as `String::from_utf8_lossy` has it.
fn take_whole_characters(bytes: &mut Vec<u8>) -> String {
    let mut text = String::new();
    let mut done = 0;
    loop {
        match std::str::from_utf8(&bytes[done..]) {
            Ok(rest) => {
                text.push_str(rest);
                done = bytes.len();
                break;
            }
            Err(error) => {
                let valid = done + error.valid_up_to();
                text.push_str(&String::from_utf8_lossy(&bytes[done..valid]));
                done = valid;
                let Some(invalid) = error.error_len() else { break };
                text.push(char::REPLACEMENT_CHARACTER);
                done += invalid;
            }
        }
    }
    bytes.drain(..done);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_chunking_of_any_bytes_decodes_alike(
            chunks in prop::collection::vec(prop::collection::vec(
                prop_oneof![any::<u8>(), Just(0xe2), Just(0x82), Just(0xf0), Just(0x9f), Just(0x80)], 0..4), 0..20)
        ) {
            let all = chunks.concat();
            let mut pending = Vec::new();
            let mut text = String::new();
            for chunk in &chunks {
                pending.extend_from_slice(chunk);
                text += &take_whole_characters(&mut pending);
                prop_assert!(pending.len() < 4);
            }
            text += &String::from_utf8_lossy(&pending);
            prop_assert_eq!(text, String::from_utf8_lossy(&all));
        }
    }
}
