//! What tokenizer.json's post-processor adds around a text, as far as llama.cpp's keys can say it.

use crate::error::{ConvertError, Result};
use serde_json::Value;
use std::path::Path;

/// Whether a text gets BOS in front, EOS at its end, a separator before a second one; `None` where the
/// post-processor says nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Affixes {
    bos: Option<bool>,
    sep: Option<bool>,
    eos: Option<bool>,
}

/// The texts of special tokens by kind.
type Names = [(&'static str, Option<String>)];

impl Affixes {
    /// Reads a `post_processor`: none, `ByteLevel`, `TemplateProcessing`, or a sequence of these. A template's
    /// leading token becomes BOS where `names` states none.
    ///
    /// # Errors
    /// Another processor, or a template that is not `[token] $A [token]`.
    pub fn read(path: &Path, root: &Value, names: &mut Names) -> Result<Affixes> {
        let steps = match &root["processors"] {
            Value::Array(steps) if root["type"] == "Sequence" => steps.as_slice(),
            _ => std::slice::from_ref(root),
        };
        let mut out = Affixes::default();
        for step in steps.iter().filter(|s| !s.is_null()) {
            match step["type"].as_str() {
                Some("ByteLevel") => {}
                Some("TemplateProcessing") => out.template(path, step, names)?,
                _ => {
                    let expected = "ByteLevel or TemplateProcessing";
                    return Err(ConvertError::field(path, "post_processor", expected, &step["type"]));
                }
            }
        }
        Ok(out)
    }

    /// As (kind, flag).
    pub fn flags(&self) -> Vec<(&'static str, bool)> {
        [("bos", self.bos), ("sep", self.sep), ("eos", self.eos)]
            .into_iter()
            .filter_map(|(kind, flag)| Some((kind, flag?)))
            .collect()
    }

    fn template(&mut self, path: &Path, step: &Value, names: &mut Names) -> Result<()> {
        let single = pieces(&step["single"]);
        let (first, last) = match single[..] {
            [Piece::Text("A")] => (None, None),
            [Piece::Token(first), Piece::Text("A")] => (Some(first), None),
            [Piece::Text("A"), Piece::Token(last)] => (None, Some(last)),
            [Piece::Token(first), Piece::Text("A"), Piece::Token(last)] => (Some(first), Some(last)),
            _ => {
                let expected = "a template of at most one token before and one after the text";
                return Err(ConvertError::field(path, "post_processor.single", expected, &step["single"]));
            }
        };
        if let Some(first) = first {
            if ![name(names, "bos"), name(names, "cls")].contains(&Some(first)) {
                let expected = name(names, "bos").map(|bos| format!("the BOS token {bos:?} in front"));
                if let Some(expected) = expected {
                    return Err(ConvertError::field(path, "post_processor.single", expected, first));
                }
                set(names, "bos", first);
            }
            self.bos = Some(true);
        }
        if let Some(last) = last {
            match name(names, "eos") {
                None => set(names, "eos", last),
                Some(eos) if eos == last => {}
                Some(eos) => {
                    let expected = format!("the EOS token {eos:?} at the end");
                    return Err(ConvertError::field(path, "post_processor.single", expected, last));
                }
            }
            self.eos = Some(true);
        }
        // Between the two texts of a pair; LFM2 never encodes pairs, but llama.cpp's converter says so.
        let mut pair = pieces(&step["pair"]);
        if first.is_some() && pair.first() == first.map(Piece::Token).as_ref() {
            pair.remove(0);
        }
        if last.is_some() && pair.last() == last.map(Piece::Token).as_ref() {
            pair.pop();
        }
        if let [Piece::Text("A"), between @ .., Piece::Text("B")] = &pair[..] {
            let ends = |piece: &Piece| match piece {
                Piece::Token(t) => [name(names, "sep"), name(names, "eos")].contains(&Some(t)),
                Piece::Text(_) => false,
            };
            match between {
                [] => {}
                [one] => self.sep = Some(ends(one) && last.is_none()),
                [one, two, ..] => self.sep = Some((ends(one) && last.is_none()) || ends(two)),
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'a> {
    Token(&'a str),
    /// `A` or `B`.
    Text(&'a str),
}

/// A template's pieces; what is no piece is left out.
fn pieces(list: &Value) -> Vec<Piece<'_>> {
    list.as_array().into_iter().flatten().filter_map(piece).collect()
}

fn piece(value: &Value) -> Option<Piece<'_>> {
    let token = value["SpecialToken"]["id"].as_str().map(Piece::Token);
    token.or_else(|| value["Sequence"]["id"].as_str().map(Piece::Text))
}

fn name<'a>(names: &'a Names, kind: &str) -> Option<&'a str> {
    names.iter().find(|(k, _)| *k == kind)?.1.as_deref()
}

fn set(names: &mut Names, kind: &str, token: &str) {
    if let Some((_, slot)) = names.iter_mut().find(|(k, _)| *k == kind) {
        *slot = Some(token.to_string());
    }
}
