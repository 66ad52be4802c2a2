//! The chat template: Jinja, rendered as Python's Jinja2 does in transformers.

use super::added::{AddedToken, AddedTokens, Piece};
use super::{Special, Tokenizer, TokenizerError, jinja, source};
use crate::{Gguf, Result};
use minijinja::Value;
use minijinja::value::Serde;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::{BTreeMap, HashSet};

/// ChatML as LFM2 speaks it, for files without a template.
const DEFAULT_TEMPLATE: &str = include_str!("default_template.jinja");

/// Under which names a message's reasoning is passed; transformers gives it all of the first two.
const REASONING_FIELDS: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// One turn of a conversation, with transformers' field names; unknown fields reach the template as they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// "system", "user", "assistant" or "tool".
    pub role: String,
    /// Text, or a list of parts as transformers take them. Null is no content.
    #[serde(default)]
    pub content: Json,
    /// Everything else (`tool_calls`, `name`, …).
    #[serde(flatten)]
    pub rest: serde_json::Map<String, Json>,
}

impl Message {
    /// A plain text turn.
    pub fn new(role: &str, content: impl Into<String>) -> Self {
        Message { role: role.into(), content: Json::String(content.into()), rest: Default::default() }
    }

    /// What the template sees: fields that are null are left out, as transformers leaves them.
    fn to_json(&self) -> Json {
        let mut fields = serde_json::Map::new();
        fields.insert("role".into(), self.role.clone().into());
        fields.insert("content".into(), self.content.clone());
        fields.extend(self.rest.clone());
        fields.retain(|_, value| !value.is_null());
        if let Some(reasoning) = REASONING_FIELDS.iter().find_map(|field| fields.get(*field)).cloned() {
            fields.entry("thinking").or_insert_with(|| reasoning.clone());
            fields.insert("reasoning_content".into(), reasoning);
        }
        Json::Object(fields)
    }
}

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    template: Source,
    /// For conversations with tools, where the file has a separate one.
    with_tools: Option<Source>,
    /// `bos_token`, `eos_token`, …: name and text.
    named: Vec<(&'static str, String)>,
}

/// A template's source as the file has it. Compiling takes less time than one token of the smallest model, and
/// [`ChatTemplate::encode`] rewrites the source for each conversation.
#[derive(Debug)]
struct Source(String);

impl Source {
    fn new(source: &str) -> Result<Source> {
        jinja::check(&source::prepare(source, |text, out| out.push_str(text)))?;
        Ok(Source(source.into()))
    }
}

impl ChatTemplate {
    /// The file's own template, or the default ChatML one where it has none.
    ///
    /// # Errors
    /// A template that does not compile.
    pub fn from_gguf(gguf: &Gguf, tokenizer: &Tokenizer) -> Result<ChatTemplate> {
        let template = gguf.get_str("tokenizer.chat_template")?.unwrap_or(DEFAULT_TEMPLATE);
        let with_tools = gguf.get_str("tokenizer.chat_template.tool_use")?;
        Ok(ChatTemplate {
            template: Source::new(template)?,
            with_tools: with_tools.map(Source::new).transpose()?,
            named: tokenizer.named_tokens().map(|(name, text)| (name, text.into())).collect(),
        })
    }

    /// The prompt as text, as `apply_chat_template(tokenize=False)` gives it.
    ///
    /// # Errors
    /// [`TokenizerError::Template`] with the template's own words where it raises an exception.
    pub fn render(
        &self,
        messages: &[Message],
        tools: Option<&Json>,
        add_generation_prompt: bool,
    ) -> Result<String> {
        let chat = Chat::new(messages, tools, add_generation_prompt)?;
        Ok(self.render_with(&chat, |text, out| out.push_str(text))?)
    }

    /// The prompt as ids with exactly one BOS. Text inside messages and tools never yields control tokens.
    ///
    /// Control tokens come only from the template's own text and from `bos_token` and its like: before
    /// rendering, each of them is replaced there by one private-use character that the conversation does not
    /// contain. What the conversation spells, alone or joined to what stands beside it, stays text. So do
    /// tokens that a template puts together from pieces (`'<|' + role + '|>'`).
    ///
    /// # Errors
    /// As [`ChatTemplate::render`]; and where the template takes control tokens apart.
    pub fn encode(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        tools: Option<&Json>,
        add_generation_prompt: bool,
    ) -> Result<Vec<u32>> {
        let chat = Chat::new(messages, tools, add_generation_prompt)?;
        let control = tokenizer.control_tokens().map(|token| AddedToken::new(token.id, &token.content, true));
        let control = AddedTokens::new(control.collect());
        let mut stand_ins = StandIns::new(&chat, &self.source(&chat).0);
        let marked = self.render_with(&chat, |text, out| stand_ins.mark(&control, text, out))?;
        if stand_ins.exhausted {
            let message = "the conversation uses every private-use character of Unicode";
            return Err(TokenizerError::Template(message.into()).into());
        }

        let by_id: BTreeMap<u32, &AddedToken> =
            tokenizer.control_tokens().map(|token| (token.id, token)).collect();
        let mut ids = Vec::with_capacity(marked.len() / 4);
        let mut rendered = String::with_capacity(marked.len());
        let mut rest = marked.as_str();
        while let Some((at, c, token)) =
            rest.char_indices().find_map(|(at, c)| Some((at, c, by_id.get(stand_ins.ids.get(&c)?)?)))
        {
            let text = &rest[..at];
            rendered.push_str(text);
            rendered.push_str(&token.content);
            rest = &rest[at + c.len_utf8()..];
            tokenizer.encode_into(
                if token.lstrip { text.trim_end() } else { text },
                Special::Plain,
                &mut ids,
            )?;
            ids.push(token.id);
            if token.rstrip {
                rest = rest.trim_start();
            }
        }
        rendered.push_str(rest);
        tokenizer.encode_into(rest, Special::Plain, &mut ids)?;
        tokenizer.ensure_bos(&mut ids);

        let spells_control = |text: &str| {
            control.split(text, Special::Parse).iter().any(|piece| matches!(piece, Piece::Token(_)))
        };
        if !by_id.values().any(|token| token.rstrip)
            && !chat.any_text(spells_control)
            && rendered != self.render_with(&chat, |text, out| out.push_str(text))?
        {
            let message =
                "it takes control tokens apart, so that they cannot be told from the conversation's text";
            return Err(TokenizerError::Template(message.into()).into());
        }
        Ok(ids)
    }

    fn source(&self, chat: &Chat) -> &Source {
        self.with_tools.as_ref().filter(|_| !chat.tools.is_null()).unwrap_or(&self.template)
    }

    /// Renders with the template's own text and the special tokens' texts rewritten.
    fn render_with(
        &self,
        chat: &Chat,
        mut rewrite: impl FnMut(&str, &mut String),
    ) -> Result<String, TokenizerError> {
        let source = source::prepare(&self.source(chat).0, &mut rewrite);
        let named = self.named.iter().map(|(name, text)| {
            let mut rewritten = String::new();
            rewrite(text, &mut rewritten);
            (*name, Value::from(rewritten))
        });
        let mut context: BTreeMap<&str, Value> = named.collect();
        jinja::render(&source, || {
            context.insert("messages", Serde(&chat.messages).into());
            context.insert("tools", Serde(&chat.tools).into());
            context.insert("documents", Value::from(()));
            context.insert("add_generation_prompt", chat.add_generation_prompt.into());
            context
        })
    }
}

/// What is rendered.
struct Chat {
    messages: Vec<Json>,
    /// Null for none.
    tools: Json,
    add_generation_prompt: bool,
}

impl Chat {
    fn new(messages: &[Message], tools: Option<&Json>, add_generation_prompt: bool) -> Result<Chat> {
        if messages.is_empty() {
            return Err(TokenizerError::Template("a conversation needs at least one message".into()).into());
        }
        Ok(Chat {
            messages: messages.iter().map(Message::to_json).collect(),
            tools: tools.cloned().unwrap_or_default(),
            add_generation_prompt,
        })
    }

    /// Whether `test` holds for any string, keys among them.
    fn any_text(&self, mut test: impl FnMut(&str) -> bool) -> bool {
        self.messages.iter().chain([&self.tools]).any(|value| any_text(value, &mut test))
    }
}

fn any_text(value: &Json, test: &mut impl FnMut(&str) -> bool) -> bool {
    match value {
        Json::String(text) => test(text),
        Json::Array(items) => items.iter().any(|item| any_text(item, test)),
        Json::Object(entries) => entries.iter().any(|(key, item)| test(key) || any_text(item, test)),
        _ => false,
    }
}

/// Private-use characters that stand for control tokens while a conversation is rendered.
struct StandIns {
    /// Those in use, with the token's id.
    ids: BTreeMap<char, u32>,
    /// Characters that neither the conversation nor the template contains.
    free: Box<dyn Iterator<Item = char>>,
    exhausted: bool,
}

impl StandIns {
    fn new(chat: &Chat, template: &str) -> StandIns {
        let mut taken: HashSet<char> = HashSet::new();
        let mut take = |text: &str| {
            taken.extend(text.chars().filter(|&c| c >= '\u{f0000}'));
            false
        };
        take(template);
        chat.any_text(take);
        let free = ('\u{f0000}'..='\u{ffffd}')
            .chain('\u{100000}'..='\u{10fffd}')
            .filter(move |c| !taken.contains(c));
        StandIns { ids: BTreeMap::new(), free: Box::new(free), exhausted: false }
    }

    /// Appends `text` with its control tokens replaced.
    fn mark(&mut self, control: &AddedTokens, text: &str, out: &mut String) {
        for piece in control.split(text, Special::Parse) {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Token(id) => match self.stand_in(id) {
                    Some(c) => out.push(c),
                    None => self.exhausted = true,
                },
            }
        }
    }

    fn stand_in(&mut self, id: u32) -> Option<char> {
        let known = self.ids.iter().find(|(_, known)| **known == id).map(|(c, _)| *c);
        known.or_else(|| {
            let c = self.free.next()?;
            self.ids.insert(c, id);
            Some(c)
        })
    }
}
