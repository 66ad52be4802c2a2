//! The chat template: Jinja, rendered as Python's Jinja2 does in transformers.

use super::Tokenizer;
use crate::{Gguf, Result};
use serde::{Deserialize, Serialize};

/// One turn of a conversation, with transformers' field names; unknown fields reach the template as they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// "system", "user", "assistant" or "tool".
    pub role: String,
    /// Text, or a list of parts as transformers take them.
    #[serde(default)]
    pub content: serde_json::Value,
    /// Everything else (`tool_calls`, `name`, …).
    #[serde(flatten)]
    pub rest: serde_json::Map<String, serde_json::Value>,
}

impl Message {
    /// A plain text turn.
    pub fn new(role: &str, content: impl Into<String>) -> Self {
        Message {
            role: role.into(),
            content: serde_json::Value::String(content.into()),
            rest: Default::default(),
        }
    }
}

/// A compiled chat template.
pub struct ChatTemplate {}

#[allow(unused_variables)]
impl ChatTemplate {
    /// The file's own template, or the default ChatML one where it has none.
    pub fn from_gguf(gguf: &Gguf, tokenizer: &Tokenizer) -> Result<ChatTemplate> {
        todo!()
    }
    /// The prompt as text, as `apply_chat_template(tokenize=False)` gives it.
    pub fn render(
        &self,
        messages: &[Message],
        tools: Option<&serde_json::Value>,
        add_generation_prompt: bool,
    ) -> Result<String> {
        todo!()
    }
    /// The prompt as ids with exactly one BOS. Text inside messages and tools never yields control tokens.
    pub fn encode(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        tools: Option<&serde_json::Value>,
        add_generation_prompt: bool,
    ) -> Result<Vec<u32>> {
        todo!()
    }
}
