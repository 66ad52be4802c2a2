//! Byte-pair encoding (Sennrich et al., arXiv:1508.07909) in the byte alphabet.
//!
//! Ids are those of Hugging Face's `tokenizers`, which the tests compare them with; why it is not used: docs/dependencies.md.

use super::byte_level;
use super::vocab::Vocab;
use hashbrown::HashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What two neighbouring tokens become, and when: those of the lowest rank first.
#[derive(Clone, Copy)]
pub(super) struct Merge {
    pub rank: u32,
    pub id: u32,
}

/// Merges by the ids of the tokens that they join.
pub(super) type Merges = HashMap<(u32, u32), Merge>;

/// Makes tokens of words.
pub(super) struct Bpe {
    /// The token of each byte, if it has one.
    bytes: [Option<u32>; 256],
    merges: Merges,
}

/// Memory for the work on a word.
#[derive(Default)]
pub(super) struct Scratch {
    /// A word in the byte alphabet, where that is asked for.
    pub text: String,
    symbols: Vec<Symbol>,
    /// Merges that were possible when they were put here: rank, number of the first symbol, id.
    queue: BinaryHeap<Reverse<(u32, u32, u32)>>,
}

/// A part of a word. Numbers of neighbours are [`NONE`] at the ends.
#[derive(Clone, Copy)]
struct Symbol {
    id: u32,
    before: u32,
    after: u32,
    /// Whether the symbol before has taken it in.
    gone: bool,
}

const NONE: u32 = u32::MAX;

/// The longest word, in bytes: its symbols have numbers below [`NONE`].
pub(super) const MAX_LEN: usize = (NONE - 1) as usize;

impl Bpe {
    /// With the merges of a vocabulary.
    pub fn new(vocab: &Vocab, merges: Merges) -> Bpe {
        let mut text = [0; 4];
        let bytes =
            std::array::from_fn(|b| vocab.normal_id(byte_level::to_char(b as u8).encode_utf8(&mut text)));
        Bpe { bytes, merges }
    }

    /// Appends the ids of a word. Bytes that have no token leave nothing.
    ///
    /// # Panics
    /// If the word is longer than [`MAX_LEN`].
    pub fn encode(&self, word: &str, scratch: &mut Scratch, ids: &mut Vec<u32>) {
        assert!(word.len() <= MAX_LEN, "a word of {} bytes", word.len());
        let Scratch { symbols, queue, .. } = scratch;
        symbols.clear();
        for id in word.bytes().filter_map(|b| self.bytes[usize::from(b)]) {
            let number = symbols.len() as u32;
            symbols.push(Symbol { id, before: number.wrapping_sub(1), after: number + 1, gone: false });
        }
        let Some(last) = symbols.last_mut() else { return };
        last.after = NONE;
        queue.clear();
        queue.extend((0..symbols.len() as u32).filter_map(|first| self.candidate(symbols, first)));
        while let Some(Reverse((_, first, id))) = queue.pop() {
            let Symbol { before, after: second, gone, .. } = symbols[first as usize];
            // Neighbours may have changed since. An old entry still counts if what is there now makes the same token: so it is with
            // Hugging Face.
            if gone || self.merge_at(symbols, first).is_none_or(|merge| merge.id != id) {
                continue;
            }
            let after = symbols[second as usize].after;
            symbols[second as usize].gone = true;
            symbols[first as usize] = Symbol { id, before, after, gone };
            if let Some(after) = symbols.get_mut(after as usize) {
                after.before = first;
            }
            queue.extend([before, first].into_iter().filter_map(|first| self.candidate(symbols, first)));
        }
        let mut next = 0;
        while let Some(symbol) = symbols.get(next as usize) {
            ids.push(symbol.id);
            next = symbol.after;
        }
    }

    /// The merge of symbol `first` and the one after, if there are such.
    fn merge_at(&self, symbols: &[Symbol], first: u32) -> Option<Merge> {
        let first = symbols.get(first as usize)?;
        let second = symbols.get(first.after as usize)?;
        self.merges.get(&(first.id, second.id)).copied()
    }

    /// [`Bpe::merge_at`] as an entry of the queue.
    fn candidate(&self, symbols: &[Symbol], first: u32) -> Option<Reverse<(u32, u32, u32)>> {
        self.merge_at(symbols, first).map(|Merge { rank, id }| Reverse((rank, first, id)))
    }
}
