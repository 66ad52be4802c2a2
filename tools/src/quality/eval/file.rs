//! Task files: JSON Lines, a header perhaps, then one case a line. docs/quality.md describes them for users.

use super::choice::Choice;
use super::exact::Normalize;
use super::report::ALL;
use super::{Case, Expect, Prompt, Task};
use crate::conversation::{awaits_answer, check_roles};
use crate::hint::HintExt;
use anyhow::{Context, Result, anyhow, bail, ensure};
use brooklet::tokenizer::Message;
use brooklet::tool_calls::{self, ToolCall, split_reply};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// The header of the task files of a folder that have none of their own.
const SHARED_HEADER: &str = "header.json";
/// Bytes of a file that is read whole.
const MAX_BYTES: u64 = 1 << 30;
/// Tokens of an answer where the header does not say.
const MAX_TOKENS: usize = 256;

/// What holds for all cases of a file: its first line, or `header.json` beside it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    /// Says that the line is a header: the name of the task, for reports.
    task: String,
    /// The kind of the cases that state none.
    #[serde(default = "default_kind")]
    kind: String,
    /// What every case is judged by; without it, each by what it expects.
    metric: Option<Metric>,
    /// Whether prompts are turns for the chat template or text as it is; without it, `messages` are the former and a
    /// `prompt` is the latter.
    template: Option<Template>,
    /// What a `prompt` is put into, in place of `{prompt}`.
    #[serde(default = "default_wrap")]
    wrap: String,
    /// Text before examples and prompt.
    #[serde(default)]
    description: String,
    /// Worked examples before each prompt: `prompt` and `answer`.
    #[serde(default)]
    few_shot: Vec<Example>,
    /// Between a prompt and its answer, in examples and before choices.
    #[serde(default = "default_delimiter")]
    delimiter: String,
    /// Between examples.
    #[serde(default = "default_separator")]
    separator: String,
    /// The system turn of conversations.
    system: Option<String>,
    /// Functions that the model may call.
    tools: Option<Value>,
    /// Only each n-th case, counted from 1, has the system turn and the tools.
    #[serde(default = "one")]
    system_every: usize,
    /// How an answer begins where no tool call is expected (`"calls": []`).
    refusal: Option<String>,
    /// How texts are normalized before they are compared.
    #[serde(default)]
    normalize: Normalize,
    /// Texts at which an answer ends.
    #[serde(default)]
    stop: Vec<String>,
    /// Tokens an answer may have.
    #[serde(default = "default_max_tokens")]
    max_tokens: usize,
}

/// What cases are judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Metric {
    /// `answer`.
    ExactMatch,
    /// `calls`.
    ToolCalls,
    /// `choices` and `right`.
    Choice,
    /// `json`.
    Json,
    /// The answer parses; cases expect nothing more.
    JsonValid,
}

impl Metric {
    fn name(self) -> &'static str {
        match self {
            Metric::ExactMatch => "exact_match",
            Metric::ToolCalls => "tool_calls",
            Metric::Choice => "choice",
            Metric::Json => "json",
            Metric::JsonValid => "json_valid",
        }
    }
}

/// How prompts reach the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// As turns of a conversation, through the chat template
    Chat,
    /// As text after the begin-of-text token
    Raw,
}

/// A worked example.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    prompt: String,
    answer: String,
}

/// One line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    kind: Option<String>,
    messages: Option<Vec<Message>>,
    prompt: Option<String>,
    tools: Option<Value>,
    answer: Option<Accepted>,
    calls: Option<Vec<Call>>,
    choices: Option<Vec<String>>,
    right: Option<usize>,
    json: Option<Value>,
}

/// One accepted answer, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Accepted {
    One(String),
    Several(Vec<String>),
}

impl Accepted {
    fn into_vec(self) -> Vec<String> {
        match self {
            Accepted::One(text) => vec![text],
            Accepted::Several(texts) => texts,
        }
    }
}

/// An expected call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    name: String,
    #[serde(default)]
    arguments: Map<String, Value>,
}

fn default_kind() -> String {
    "case".into()
}

fn default_wrap() -> String {
    "{prompt}".into()
}

fn default_delimiter() -> String {
    " ".into()
}

fn default_separator() -> String {
    "\n\n".into()
}

fn one() -> usize {
    1
}

fn default_max_tokens() -> usize {
    MAX_TOKENS
}

/// How a task file is read, beside what it says itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// A task file whose first cases are the worked examples.
    pub dev: Option<&'a Path>,
    /// How many examples; all of the header's where it is not given.
    pub few_shot: Option<usize>,
    /// In place of the header's.
    pub template: Option<Template>,
}

/// Reads a task file.
///
/// # Errors
/// The file cannot be read; a line is no JSON object of the fields known, or one that cannot be judged.
pub fn read(path: &Path, options: Options) -> Result<Task> {
    let text = read_text(path)?;
    let mut lines = numbered(&text).peekable();
    let own = lines.next_if(|(_, line)| is_header(line));
    let mut header = header_of(path, own)?;
    if options.template.is_some() {
        header.template = options.template;
    }
    if let Some(dev) = options.dev {
        header.few_shot = examples(dev)?;
    }
    if let Some(count) = options.few_shot {
        let there = header.few_shot.len();
        if there < count {
            return Err(anyhow!(
                "{}: {count} worked examples are asked for, there are {there}",
                path.display()
            ))
            .hint(|| "name a task file that has more with --dev, or ask for fewer with --few-shot".into());
        }
        header.few_shot.truncate(count);
    }
    let texts = Texts {
        description: header.description.as_str().into(),
        examples: header.examples().into(),
        stop: header.stop.as_slice().into(),
    };
    let mut cases = Vec::new();
    for (number, line) in lines {
        let place = format!("{}:{number}", path.display());
        let case = serde_json::from_str(line)
            .map_err(anyhow::Error::from)
            .and_then(|line| case(&header, &texts, line, cases.len(), place.clone()))
            .context(place)
            .hint(|| "docs/quality.md, section Eval, says what a case may hold".into())?;
        cases.push(case);
    }
    ensure!(!cases.is_empty(), "{} holds no cases: expected one JSON object a line", path.display());
    Ok(Task { name: header.task, path: path.into(), max_tokens: header.max_tokens, cases })
}

/// The lines that are not empty, counted from 1.
pub(super) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(i, line)| (i + 1, line)).filter(|(_, line)| !line.trim().is_empty())
}

/// A file as text.
pub(super) fn read_text(path: &Path) -> Result<String> {
    let name = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    File::open(path).with_context(name)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).with_context(name)?;
    ensure!(
        bytes.len() as u64 <= MAX_BYTES,
        "{} is larger than the {MAX_BYTES} bytes that are read",
        path.display()
    );
    let text = String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8 text", path.display()))?;
    Ok(text.strip_prefix('\u{feff}').map(String::from).unwrap_or(text))
}

/// A line with `task` is a header.
fn is_header(line: &str) -> bool {
    serde_json::from_str::<Map<String, Value>>(line).is_ok_and(|fields| fields.contains_key("task"))
}

fn header_of(path: &Path, own: Option<(usize, &str)>) -> Result<Header> {
    let shared = path.with_file_name(SHARED_HEADER);
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let (text, place) = match own {
        Some((number, line)) => (line.to_string(), format!("{}:{number}", path.display())),
        None if shared.is_file() => (read_text(&shared)?, shared.display().to_string()),
        None => (serde_json::json!({"task": name}).to_string(), String::new()),
    };
    let mut header: Header = serde_json::from_str(&text)
        .context(place.clone())
        .hint(|| "docs/quality.md, section Eval, says what a header may hold".into())?;
    if own.is_none() {
        header.task = name.into_owned();
    }
    ensure!(header.system_every > 0, "{place}: system_every is 0: expected at least 1");
    ensure!(header.wrap.contains("{prompt}"), "{place}: wrap has no {{prompt}} to put the prompt in");
    Ok(header)
}

/// The cases of a task file as worked examples.
fn examples(path: &Path) -> Result<Vec<Example>> {
    let text = read_text(path)?;
    let lines = numbered(&text).filter(|(number, line)| *number > 1 || !is_header(line));
    lines
        .map(|(number, line)| {
            let place = || format!("{}:{number}", path.display());
            let line: Line = serde_json::from_str(line).with_context(place)?;
            let chosen = |choices: Vec<String>| line.right.and_then(|right| choices.get(right).cloned());
            let answer = line.answer.and_then(|answer| answer.into_vec().into_iter().next());
            match (line.prompt, answer.or_else(|| line.choices.and_then(chosen))) {
                (Some(prompt), Some(answer)) => Ok(Example { prompt, answer }),
                _ => bail!("{}: a worked example needs prompt, and answer or choices and right", place()),
            }
        })
        .collect()
}

impl Header {
    fn wrapped(&self, prompt: &str) -> String {
        self.wrap.replace("{prompt}", prompt)
    }

    /// What raw prompts have before them.
    fn examples(&self) -> String {
        let examples = self.few_shot.iter().map(|example| (self.wrapped(&example.prompt), &example.answer));
        joined(examples, &self.delimiter, &self.separator)
    }
}

/// Worked examples, each with the separator after it.
pub(super) fn joined(
    examples: impl Iterator<Item = (String, impl AsRef<str>)>,
    delimiter: &str,
    separator: &str,
) -> String {
    let mut text = String::new();
    for (question, answer) in examples {
        text.extend([&question, delimiter, answer.as_ref(), separator]);
    }
    text
}

/// What all cases of a file share.
struct Texts {
    description: Arc<str>,
    examples: Arc<str>,
    stop: Arc<[String]>,
}

fn case(header: &Header, texts: &Texts, line: Line, index: usize, place: String) -> Result<Case> {
    let Line { kind, messages, prompt, tools, answer, calls, choices, right, json } = line;
    let expect = expected(header, answer, calls, choices, right, json)?;
    let wants_chat =
        header.template.unwrap_or(if messages.is_some() { Template::Chat } else { Template::Raw });
    let prompt = match (messages, prompt, wants_chat) {
        (Some(_), None, Template::Raw) => bail!("messages go through the chat template: expected a prompt"),
        (None, Some(prompt), Template::Raw) => Prompt::Text {
            description: texts.description.clone(),
            examples: texts.examples.clone(),
            question: header.wrapped(&prompt),
        },
        (None, Some(prompt), Template::Chat) => {
            let mut messages = Vec::new();
            for example in &header.few_shot {
                messages.push(Message::new("user", header.wrapped(&example.prompt)));
                messages.push(Message::new("assistant", example.answer.as_str()));
            }
            messages.push(Message::new("user", header.wrapped(&prompt)));
            chat(header, messages, tools, index)?
        }
        (Some(messages), None, Template::Chat) => chat(header, messages, tools, index)?,
        _ => bail!("expected either messages or a prompt"),
    };
    let kind = kind.unwrap_or_else(|| header.kind.clone());
    ensure!(kind != ALL, "the kind '{ALL}' is the name of the row over all kinds");
    if let (Expect::Choice(_), Prompt::Text { question, .. }) = (&expect, &prompt) {
        ensure!(
            !question.ends_with(char::is_whitespace),
            "the prompt of a choice ends in white space: leave that to the header's delimiter"
        );
    }
    Ok(Case { place, kind, prompt, stop: texts.stop.clone(), expect })
}

fn expected(
    header: &Header,
    answer: Option<Accepted>,
    calls: Option<Vec<Call>>,
    choices: Option<Vec<String>>,
    right: Option<usize>,
    json: Option<Value>,
) -> Result<Expect> {
    let (metric, expect) = match (answer, calls, choices, right, json) {
        (Some(answer), None, None, None, None) => {
            let answers = answer.into_vec();
            ensure!(!answers.is_empty(), "answer is empty: expected a text, or several that are accepted");
            (Metric::ExactMatch, Expect::Answer(answers, header.normalize.clone()))
        }
        (None, Some(calls), None, None, None) => (Metric::ToolCalls, calls_expected(header, calls)?),
        (None, None, Some(choices), Some(right), None) => {
            ensure!(
                right < choices.len(),
                "right is {right}: expected less than {}, the choices",
                choices.len()
            );
            ensure!(choices.iter().all(|choice| !choice.is_empty()), "a choice is empty");
            (Metric::Choice, Expect::Choice(Choice { choices, right, delimiter: header.delimiter.clone() }))
        }
        (None, None, None, None, Some(json)) => (Metric::Json, Expect::Json(json)),
        (None, None, None, None, None) if header.metric == Some(Metric::JsonValid) => {
            (Metric::JsonValid, Expect::JsonValid)
        }
        _ => bail!("expected one of answer, calls, json, or choices with right"),
    };
    match header.metric {
        Some(stated) if stated != metric => {
            bail!("the header's metric is {}, the case is one for {}", stated.name(), metric.name())
        }
        _ => Ok(expect),
    }
}

fn calls_expected(header: &Header, calls: Vec<Call>) -> Result<Expect> {
    if calls.is_empty() {
        let begin =
            header.refusal.clone().context("no call is expected: the header's refusal must say what is")?;
        return Ok(Expect::Refusal(begin));
    }
    let call = |Call { name, arguments }| ToolCall { name, arguments };
    Ok(Expect::Calls(calls.into_iter().map(call).collect()))
}

/// The turns with the header's system turn and tools, where the case has them.
fn chat(header: &Header, messages: Vec<Message>, tools: Option<Value>, index: usize) -> Result<Prompt> {
    check_roles(&messages)?;
    ensure!(awaits_answer(&messages), "the messages do not end with a turn to answer, of user or tool");
    let mut messages: Vec<Message> = messages.into_iter().map(with_calls).collect::<Result<_>>()?;
    let mut tools = tools;
    if (index + 1).is_multiple_of(header.system_every) {
        if tools.is_none() {
            tools.clone_from(&header.tools);
        }
        let system = [header.description.trim_end(), header.system.as_deref().unwrap_or_default()];
        let system = system.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n");
        if !system.is_empty() && messages.iter().all(|message| message.role != "system") {
            messages.insert(0, Message::new("system", system));
        }
    }
    Ok(Prompt::Chat { messages, tools })
}

/// A past answer with its calls where the template looks for them: control tokens in a text would stay text.
fn with_calls(mut message: Message) -> Result<Message> {
    let text = message.content.as_str().filter(|text| text.contains(tool_calls::START));
    if let Some(text) = text.filter(|_| message.role == "assistant") {
        let (text, calls) = split_reply(text).context("a past answer")?;
        message.content = text.into();
        message.rest.insert("tool_calls".into(), calls.iter().map(ToolCall::to_json).collect());
    }
    Ok(message)
}

#[cfg(test)]
mod tests;
