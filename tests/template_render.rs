//! Chat templates against Python's Jinja2 as transformers sets it up.

#[path = "common/hf_tokenizer.rs"]
mod hf_tokenizer;

use brooklet::gguf::{GgufWriter, Value};
use brooklet::tokenizer::{Message, Special};
use brooklet::{ChatTemplate, Tokenizer};
use hf_tokenizer::{fixture_dir, metadata, open, read_json};
use serde_json::{Value as Json, json};
use std::sync::LazyLock;

static TOKENIZER: LazyLock<Tokenizer> =
    LazyLock::new(|| Tokenizer::from_gguf(&open(metadata(&fixture_dir().join("hf"), 1400))).unwrap());

/// A chat template for the fixture's tokenizer.
fn template(source: &str) -> brooklet::Result<ChatTemplate> {
    let mut writer = GgufWriter::new();
    writer.set("tokenizer.chat_template", Value::String(source));
    ChatTemplate::from_gguf(&open(writer), &TOKENIZER)
}

fn messages(json: &Json) -> Vec<Message> {
    serde_json::from_value(json.clone()).unwrap()
}

#[test]
fn recorded_conversations_render_and_encode_alike() {
    let recorded = read_json(&fixture_dir().join("templates.json"));
    let mut count = 0;
    for case in recorded["cases"].as_array().unwrap() {
        let name = case["template"].as_str().unwrap();
        let template = template(recorded["sources"][name].as_str().unwrap()).unwrap();
        let messages = messages(&case["messages"]);
        let tools = Some(&case["tools"]).filter(|tools| !tools.is_null());
        let prompt = case["add_generation_prompt"].as_bool().unwrap();
        let text = template.render(&messages, tools, prompt);
        let ids = template.encode(&TOKENIZER, &messages, tools, prompt);
        match case.get("error") {
            Some(error) => {
                let expected = format!("chat template: {}", error.as_str().unwrap());
                assert_eq!(text.unwrap_err().to_string(), expected);
                assert_eq!(ids.unwrap_err().to_string(), expected);
            }
            None => {
                assert_eq!(text.unwrap(), case["text"].as_str().unwrap(), "{name}: {}", case["messages"]);
                let mut expected: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
                if expected.first() != Some(&1) {
                    expected.insert(0, 1);
                }
                assert_eq!(ids.unwrap(), expected, "{name}: {}", case["messages"]);
            }
        }
        count += 1;
    }
    assert!(count > 20, "{count} cases");
}

#[test]
fn recorded_expressions_print_alike() {
    let recorded = read_json(&fixture_dir().join("templates.json"));
    let message = messages(&Json::Array(vec![recorded["message"].clone()]));
    let mut wrong = Vec::new();
    for case in recorded["expressions"].as_array().unwrap() {
        let expression = case["expression"].as_str().unwrap();
        let source = format!("{{%- set m = messages[0] -%}}{{{{ ({expression}) }}}}");
        let text = template(&source)
            .and_then(|template| template.render(&message, None, false))
            .unwrap_or_else(|error| error.to_string());
        if text != case["text"] {
            wrong.push(format!(
                "{expression}\n    ours   {text:?}\n    Python {:?}",
                case["text"].as_str().unwrap()
            ));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_file_without_a_template_speaks_chatml() {
    let default = ChatTemplate::from_gguf(&open(GgufWriter::new()), &TOKENIZER).unwrap();
    let conversation = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather in Paris?"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"type": "function", "function": {"name": "weather", "arguments": {"city": "Paris", "days": 2, "at": {"h": 1}}}},
            {"name": "now", "arguments": "tz=1"},
        ]},
        {"role": "tool", "content": {"temp": 21.5}},
        {"role": "assistant", "content": "21.5 °C"},
    ]);
    let tools = json!([{"name": "weather", "parameters": {}}, {"name": "now"}]);
    let messages = messages(&conversation);
    let text = default.render(&messages, Some(&tools), true).unwrap();
    assert_eq!(
        text,
        "<|startoftext|><|im_start|>system\nBe brief.\nList of tools: <|tool_list_start|>[{\"name\": \"weather\", \
         \"parameters\": {}}, {\"name\": \"now\"}]<|tool_list_end|><|im_end|>\n\
         <|im_start|>user\nWeather in Paris?<|im_end|>\n\
         <|im_start|>assistant\n<|tool_call_start|>[weather(city=\"Paris\", days=2, at={\"h\": 1}), now(tz=1)]\
         <|tool_call_end|><|im_end|>\n\
         <|im_start|>tool\n<|tool_response_start|>{\"temp\": 21.5}<|tool_response_end|><|im_end|>\n\
         <|im_start|>assistant\n21.5 °C<|im_end|>\n\
         <|im_start|>assistant\n"
    );
    let ids = default.encode(&TOKENIZER, &messages, Some(&tools), true).unwrap();
    assert_eq!(ids, TOKENIZER.encode(&text, Special::Parse).unwrap());
    let plain = default.render(&messages[1..2], None, false).unwrap();
    assert_eq!(plain, "<|startoftext|><|im_start|>user\nWeather in Paris?<|im_end|>\n");
}

#[test]
fn a_separate_template_for_tools_is_used_with_tools() {
    let mut writer = GgufWriter::new();
    writer.set("tokenizer.chat_template", Value::String("plain{{ tools is none }}{{ documents }}"));
    writer.set("tokenizer.chat_template.tool_use", Value::String("tools{{ tools | length }}"));
    let template = ChatTemplate::from_gguf(&open(writer), &TOKENIZER).unwrap();
    let messages = [Message::new("user", "hi")];
    assert_eq!(template.render(&messages, None, false).unwrap(), "plainTrueNone");
    assert_eq!(template.render(&messages, Some(&json!([1, 2])), false).unwrap(), "tools2");
}
