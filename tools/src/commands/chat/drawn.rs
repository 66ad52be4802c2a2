//! The prompt of a conversation in which the model's answers stay the ids that it drew.
//!
//! Tokenizing an answer's text again need not give the ids it was made of, and a tool call's markers
//! would come back as plain text. Either way what the session holds could not be kept.

use crate::conversation::Conversation;
use anyhow::Result;
use brooklet::tokenizer::Message;
use brooklet::{ChatTemplate, Tokenizer};

/// The answers drawn in this chat, in order.
#[derive(Default)]
pub struct Drawn {
    answers: Vec<Answer>,
    /// Length of the last prompt without the answers.
    prompt_len: usize,
}

struct Answer {
    /// Which message of the conversation it is.
    message: usize,
    /// Where its ids go in the prompt that has no answers.
    at: usize,
    ids: Vec<u32>,
}

impl Drawn {
    /// The ids of the conversation and the start of the next answer: the chat template's, with the
    /// answers' own ids in their places. Where those do not spell what the template makes of the
    /// answers (one that removes past reasoning, say), the template's ids alone.
    pub fn prompt(
        &mut self,
        template: &ChatTemplate,
        tokenizer: &Tokenizer,
        conversation: &Conversation,
    ) -> Result<Vec<u32>> {
        let tools = conversation.tools.as_ref();
        let mut messages = conversation.messages.clone();
        for answer in &self.answers {
            messages[answer.message] = Message::new("assistant", "");
        }
        let without = template.encode(tokenizer, &messages, tools, true)?;
        self.prompt_len = without.len();
        if self.answers.is_empty() {
            return Ok(without);
        }

        let text = template.render(&conversation.messages, tools, true)?;
        match self.put_into(&without) {
            Some(ids) if tokenizer.decode(&ids, false)? == text => Ok(ids),
            _ => Ok(template.encode(tokenizer, &conversation.messages, tools, true)?),
        }
    }

    fn put_into(&self, without: &[u32]) -> Option<Vec<u32>> {
        let mut ids = Vec::new();
        let mut from = 0;
        for answer in &self.answers {
            ids.extend_from_slice(without.get(from..answer.at)?);
            ids.extend_from_slice(&answer.ids);
            from = answer.at;
        }
        ids.extend_from_slice(without.get(from..)?);
        Some(ids)
    }

    /// Notes the answer to the last [`Drawn::prompt`], which becomes this message of the conversation.
    pub fn push(&mut self, message: usize, ids: Vec<u32>) {
        self.answers.push(Answer { message, at: self.prompt_len, ids });
    }

    /// Forgets the answers: the conversation is another one.
    pub fn clear(&mut self) {
        self.answers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_go_where_their_prompts_ended() {
        let mut drawn = Drawn::default();
        for (message, at) in [(1, 2), (3, 4)] {
            drawn.prompt_len = at;
            drawn.push(message, vec![90 + message as u32, 90]);
        }
        assert_eq!(drawn.put_into(&[1, 2, 3, 4, 5]), Some(vec![1, 2, 91, 90, 3, 4, 93, 90, 5]));
        assert_eq!(drawn.put_into(&[1, 2, 3]), None);
    }
}
