//! A tokenizer of LFM2's kind and size, with made-up merges.

use crate::convert::{LFM2_REGEX, byte_alphabet};
use serde_json::{Map, Value, json};

pub(super) const PAD: u32 = 0;
pub(super) const BOS: u32 = 1;
pub(super) const EOS: u32 = 7;

/// As many merges as LFM2's tokenizer has.
const MERGES: usize = 63_683;
/// LFM2's control tokens; `<|reserved_N|>` fill the rest.
const SPECIAL: [&str; 14] = [
    "<|pad|>",
    "<|startoftext|>",
    "<|endoftext|>",
    "<|fim_pre|>",
    "<|fim_mid|>",
    "<|fim_suf|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|tool_list_start|>",
    "<|tool_list_end|>",
    "<|tool_call_start|>",
    "<|tool_call_end|>",
    "<|tool_response_start|>",
    "<|tool_response_end|>",
];
/// Control tokens in all: 461 and 256 bytes and the merges are 64,400 entries, as in LFM2; the embedding's
/// other 1,136 rows are holes.
const SPECIALS: usize = 461;

const TEMPLATE: &str = r#"{{- bos_token -}}
{%- set messages_left = messages -%}
{%- set system = "" -%}
{%- if messages and messages[0]["role"] == "system" -%}
{%- set system = messages[0]["content"] -%}
{%- set messages_left = messages[1:] -%}
{%- endif -%}
{%- if tools -%}
{%- set system = system + ("\n" if system else "") + "List of tools: <|tool_list_start|>" + (tools | tojson) + "<|tool_list_end|>" -%}
{%- endif -%}
{%- if system -%}
{{- "<|im_start|>system\n" + system + "<|im_end|>\n" -}}
{%- endif -%}
{%- for message in messages_left -%}
{{- "<|im_start|>" + message["role"] + "\n" -}}
{%- if message["role"] == "tool" -%}
{{- "<|tool_response_start|>" + message["content"] + "<|tool_response_end|>" -}}
{%- else -%}
{{- message["content"] -}}
{%- endif -%}
{{- "<|im_end|>\n" -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- "<|im_start|>assistant\n" -}}
{%- endif -%}
"#;

pub(super) fn generation_config() -> Value {
    json!({
        "_from_model_config": true,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "pad_token_id": PAD,
        "transformers_version": "4.54.0",
    })
}

pub(super) fn tokenizer_config() -> Value {
    json!({
        "add_bos_token": true,
        "add_eos_token": false,
        "bos_token": SPECIAL[BOS as usize],
        "chat_template": TEMPLATE,
        "clean_up_tokenization_spaces": false,
        "eos_token": SPECIAL[EOS as usize],
        "model_max_length": 1_000_000_000_000_000_019_884_624_838_656_f64,
        "pad_token": SPECIAL[PAD as usize],
        "tokenizer_class": "PreTrainedTokenizerFast",
    })
}

pub(super) fn tokenizer_json() -> Value {
    let specials: Vec<String> = (0..SPECIALS)
        .map(|id| match SPECIAL.get(id) {
            Some(name) => name.to_string(),
            None => format!("<|reserved_{}|>", id - SPECIAL.len()),
        })
        .collect();
    let merges = merges();
    let tokens = specials
        .iter()
        .cloned()
        .chain(byte_alphabet().map(String::from))
        .chain(merges.iter().map(|(a, b)| format!("{a}{b}")));
    let vocab: Map<String, Value> = tokens.enumerate().map(|(id, token)| (token, id.into())).collect();
    let added: Vec<Value> = specials
        .iter()
        .enumerate()
        .map(|(id, content)| {
            json!({
                "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true,
            })
        })
        .collect();
    let bos = SPECIAL[BOS as usize];
    let special = |type_id: u32| json!({"SpecialToken": {"id": bos, "type_id": type_id}});
    let text = |id: &str, type_id: u32| json!({"Sequence": {"id": id, "type_id": type_id}});
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": LFM2_REGEX}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        ]},
        "post_processor": {"type": "Sequence", "processors": [
            {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true},
            {
                "type": "TemplateProcessing",
                "single": [special(0), text("A", 0)],
                "pair": [special(0), text("A", 0), special(1), text("B", 1)],
                "special_tokens": {bos: {"id": bos, "ids": [BOS], "tokens": [bos]}},
            },
        ]},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab,
            "merges": merges.iter().map(|(a, b)| json!([a, b])).collect::<Vec<_>>(),
        },
    })
}

/// Pairs of tokens that exist when their turn comes, each making a new one: text in Latin letters comes out
/// at some three bytes a token.
fn merges() -> Vec<(String, String)> {
    let letters: Vec<String> = ('a'..='z').map(String::from).collect();
    let capitals: Vec<String> = ('A'..='Z').map(String::from).collect();
    let digits: Vec<String> = ('0'..='9').map(String::from).collect();
    let product = |a: &[String], b: &[String]| -> Vec<(String, String)> {
        a.iter().flat_map(|a| b.iter().map(|b| (a.clone(), b.clone()))).collect()
    };
    let joined = |pairs: &[(String, String)]| -> Vec<String> {
        pairs.iter().map(|(a, b)| format!("{a}{b}")).collect()
    };
    // `Ġ` stands for a space, `Ċ` for a newline.
    let space = ["Ġ".to_string()];
    let runs = |c: &str| [1, 2, 4].map(|n| (c.repeat(n), c.repeat(n)));

    let mut out: Vec<(String, String)> = runs("Ġ").into_iter().chain(runs("Ċ")).collect();
    let two = product(&letters, &letters);
    let three = product(&joined(&two), &letters);
    let numbers = product(&digits, &digits);
    out.extend(two.iter().cloned());
    out.extend(numbers.iter().cloned());
    out.extend(product(&space, &letters));
    out.extend(product(&space, &capitals));
    out.extend(product(&capitals, &letters));
    out.extend(product(&joined(&numbers), &digits));
    out.extend(product(&space, &joined(&two)));
    out.extend(three.iter().cloned());
    out.extend(product(&space, &joined(&three)));
    // Four letters, as many as there is room for.
    out.extend(product(&joined(&two), &joined(&two)));
    out.truncate(MERGES);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn merges_are_consistent() {
        let mut known: HashSet<String> = byte_alphabet().map(String::from).collect();
        assert_eq!(known.len(), 256);
        let merges = merges();
        assert_eq!(merges.len(), MERGES);
        for (a, b) in merges {
            assert!(known.contains(&a) && known.contains(&b), "{a} {b}");
            assert!(known.insert(format!("{a}{b}")), "{a} {b} makes nothing new");
        }
    }

    #[test]
    fn the_vocabulary_has_lfm2_s_size() {
        let json = tokenizer_json();
        assert_eq!(json["model"]["vocab"].as_object().unwrap().len(), 64_400);
        assert_eq!(json["model"]["vocab"]["<|im_end|>"], EOS);
    }
}
