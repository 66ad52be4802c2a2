//! `brooklet eval`: tasks, how a model answers them, and what counts as right.
//!
//! ```text
//! task file, public data ──load──▶ Task ──Runner──▶ replies, log-likelihoods ──Expect::judge──▶ scores ──▶ Report
//! ```

pub mod choice;
pub mod exact;
pub mod file;
pub mod formats;
pub mod ifeval;
pub mod report;
pub mod run;
pub mod wilson;

use brooklet::tokenizer::Message;
use brooklet::tool_calls::ToolCall;
use choice::Choice;
use exact::Normalize;
use formats::Numbers;
use ifeval::Instructions;
use serde_json::Value;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Cases with a name.
#[derive(Debug)]
pub struct Task {
    /// The name, for reports.
    pub name: String,
    /// Where it comes from.
    pub path: PathBuf,
    /// Tokens an answer may have.
    pub max_tokens: usize,
    /// The cases, in the order of the file.
    pub cases: Vec<Case>,
}

impl Task {
    /// Drops all but the first `limit` cases of each kind.
    pub fn keep_first(&mut self, limit: usize) {
        let mut seen: HashMap<String, usize> = HashMap::new();
        self.cases.retain(|case| {
            let count = seen.entry(case.kind.clone()).or_default();
            *count += 1;
            *count <= limit
        });
    }
}

/// One prompt and what is expected of the answer.
#[derive(Debug)]
pub struct Case {
    /// The file and, where it has lines, the line: `heldout.jsonl:12`.
    pub place: String,
    /// What results are told apart by: a kind of request, a subject, a language.
    pub kind: String,
    /// What the model gets.
    pub prompt: Prompt,
    /// Texts at which an answer ends.
    pub stop: Arc<[String]>,
    /// What is expected.
    pub expect: Expect,
}

/// What a model gets.
#[derive(Clone, Debug)]
pub enum Prompt {
    /// A conversation for the chat template, which asks for the next turn.
    Chat {
        /// The turns.
        messages: Vec<Message>,
        /// Functions that the model may call.
        tools: Option<Value>,
    },
    /// Text as it is, after the begin-of-text token.
    Text {
        /// What the task is.
        description: Arc<str>,
        /// Worked examples, each with what separates it from the next.
        examples: Arc<str>,
        /// What is asked.
        question: String,
    },
}

impl Case {
    /// The case with its prompt as a conversation.
    pub fn into_chat(self) -> Case {
        Case { prompt: self.prompt.into_chat(), ..self }
    }
}

impl Prompt {
    /// The text as a conversation: the description is the system turn, examples and question are one turn of a user. A
    /// conversation stays what it is.
    pub fn into_chat(self) -> Prompt {
        let Prompt::Text { description, examples, question } = self else { return self };
        let system =
            Some(&*description).filter(|text| !text.is_empty()).map(|text| Message::new("system", text));
        let user = Message::new("user", format!("{examples}{question}"));
        Prompt::Chat { messages: system.into_iter().chain([user]).collect(), tools: None }
    }

    /// All of a prompt that is text.
    pub fn text(&self) -> Option<String> {
        match self {
            Prompt::Text { description, examples, question } => {
                Some(format!("{description}{examples}{question}"))
            }
            Prompt::Chat { .. } => None,
        }
    }

    /// The text, or the last turn of the conversation: what to show of it.
    pub fn shown(&self) -> String {
        match self {
            Prompt::Text { question, .. } => question.clone(),
            Prompt::Chat { messages, .. } => match messages.last().map(|message| &message.content) {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => String::new(),
            },
        }
    }
}

/// What is expected of an answer.
#[derive(Debug)]
pub enum Expect {
    /// One of these texts, after normalization of both sides.
    Answer(Vec<String>, Normalize),
    /// These tool calls, in this order.
    Calls(Vec<ToolCall>),
    /// No tool call, and a text that begins so.
    Refusal(String),
    /// One of several texts, by its log-likelihood.
    Choice(Choice),
    /// JSON that parses.
    JsonValid,
    /// JSON that equals this.
    Json(Value),
    /// A text in which this number is found.
    Number(Numbers),
    /// A text that follows these.
    Instructions(Instructions),
}

/// How often a metric was met in one case: once or not at all, or some of several instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Score {
    /// The metric.
    pub metric: &'static str,
    /// How often it was met.
    pub right: u64,
    /// How often it could be decided.
    pub of: u64,
    /// How often it could not, for want of a tool: those are in neither of the two.
    pub undecided: u64,
}

impl Score {
    /// Of a metric that is met or not.
    pub fn of(metric: &'static str, right: bool) -> Score {
        Score { metric, right: u64::from(right), of: 1, undecided: 0 }
    }
}

/// The name of the metric of everything that is right as a whole or wrong.
pub const EXACT_MATCH: &str = "exact_match";
/// The name of the metric of answers that are JSON.
pub const JSON_VALID: &str = "json_valid";

impl Expect {
    /// Judges a generated answer.
    ///
    /// # Panics
    /// [`Expect::Choice`], which is judged by log-likelihoods.
    pub fn judge(&self, answer: &str) -> Vec<Score> {
        let exact = |right| vec![Score::of(EXACT_MATCH, right)];
        match self {
            Expect::Answer(accepted, normalize) => exact(normalize.equal_to_any(answer, accepted)),
            Expect::Calls(calls) => exact(exact::calls_match(answer, calls)),
            Expect::Refusal(begin) => exact(exact::refuses(answer, begin)),
            Expect::JsonValid => vec![Score::of(JSON_VALID, exact::parse_json(answer).is_some())],
            Expect::Json(expected) => {
                let found = exact::parse_json(answer);
                let right = found.as_ref().is_some_and(|found| exact::equal(found, expected));
                vec![Score::of(EXACT_MATCH, right), Score::of(JSON_VALID, found.is_some())]
            }
            Expect::Number(numbers) => numbers.judge(answer),
            Expect::Instructions(instructions) => instructions.judge(answer),
            Expect::Choice(_) => unreachable!("a choice is judged by log-likelihoods"),
        }
    }

    /// What would have been right, for people.
    pub fn shown(&self) -> String {
        match self {
            Expect::Answer(accepted, _) => accepted.join(" | "),
            Expect::Calls(calls) => {
                let calls: Vec<String> = calls.iter().map(ToString::to_string).collect();
                format!("[{}]", calls.join(", "))
            }
            Expect::Refusal(begin) => format!("no call, {begin}…"),
            Expect::Choice(choice) => choice.choices[choice.right].clone(),
            Expect::JsonValid => "JSON".into(),
            Expect::Json(value) => value.to_string(),
            Expect::Number(numbers) => numbers.shown(),
            Expect::Instructions(instructions) => instructions.shown(),
        }
    }
}
