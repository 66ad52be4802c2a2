//! `brooklet eval`: let a model answer tasks and count what is right.

use crate::hint::HintExt;
use crate::model_args::{ModelArgs, parse_positive};
use crate::quality::eval::Task;
use crate::quality::eval::file::{self, Options, Template};
use crate::quality::eval::formats::Format;
use crate::quality::eval::report::Report;
use crate::quality::eval::run::Runner;
use crate::terminal::print_json;
use crate::ui::{print_line, step_bar};
use anyhow::{Result, anyhow};
use std::path::PathBuf;

/// The context where the user says nothing: worked examples make prompts long, and room that is not used costs next to nothing.
const CONTEXT: usize = 16384;

/// Arguments of `brooklet eval`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A task file is JSON Lines: a header perhaps, then one case a line; docs/quality.md says what they hold. \
                  Answers are greedy. Fractions come with Wilson's 95 % interval.\n\n\
                  Examples:\n  brooklet eval -m demo-q8_0.gguf --task models/demo/eval/heldout.jsonl\n  \
                  brooklet eval -m model.gguf --task mine.jsonl --limit 20 --show\n  \
                  brooklet eval -m model.gguf --format mmlu --data mmlu/data"
)]
#[command(mut_arg("seed", |a| a.hide(true)))]
#[command(mut_arg("ctx", |a| a.help("Tokens that prompt and answer may take together [default: what the model was made for, at most 16384]")))]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// A task file (may be given several times)
    #[arg(long, value_name = "FILE")]
    task: Vec<PathBuf>,
    /// Public data in its authors' layout, under --data, with the prompts of lm-evaluation-harness
    #[arg(long, requires = "data", conflicts_with = "task")]
    format: Option<Format>,
    /// Where that data is
    #[arg(long, value_name = "PATH", requires = "format")]
    data: Option<PathBuf>,
    /// A task file whose first cases are the worked examples, in place of the header's
    #[arg(long, value_name = "FILE", requires_all = ["task", "few_shot"])]
    dev: Option<PathBuf>,
    /// Worked examples before each prompt [default: all of the header's; with --format what is usual there]
    #[arg(long, value_name = "N")]
    few_shot: Option<usize>,
    /// How prompts reach the model, in place of what the task says
    #[arg(long, value_name = "chat|raw", hide_possible_values = true)]
    template: Option<Template>,
    /// Only the first N cases of each kind (or subject, or language)
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    limit: Option<usize>,
    /// Tokens an answer may have, in place of what the task says
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    max_tokens: Option<usize>,
    /// Say what went wrong
    #[arg(long)]
    show: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Results {
    model: PathBuf,
    tasks: Vec<Report>,
}

/// Runs the command.
pub fn run(mut args: Args) -> Result<()> {
    let tasks = tasks(&args)?;
    let model = args.model.open()?;
    args.model.ctx.get_or_insert(model.config().context_length.min(CONTEXT));
    let tokenizer = args.model.tokenizer(model.gguf())?;
    let mut runner = Runner::new(args.model.session(&model)?, tokenizer);
    let mut reports = Vec::new();
    for task in &tasks {
        let bar = step_bar(task.cases.len() as u64, &task.name);
        let report = runner.run(task, |done| bar.set_position(done));
        bar.finish_and_clear();
        let report = report?.finish(args.show);
        if !args.json {
            print_line(&report.table().trim_end())?;
        }
        reports.push(report);
    }
    if args.json {
        print_json(&Results { model: args.model.model.clone(), tasks: reports })?;
    }
    Ok(())
}

/// All tasks, read before the model computes: what is wrong with the last shows at once.
fn tasks(args: &Args) -> Result<Vec<Task>> {
    let options = Options { dev: args.dev.as_deref(), few_shot: args.few_shot, template: args.template };
    let mut tasks = args.task.iter().map(|path| file::read(path, options)).collect::<Result<Vec<_>>>()?;
    if let (Some(format), Some(data)) = (args.format, &args.data) {
        tasks.push(format.read(data, args.few_shot, args.template)?);
    }
    if tasks.is_empty() {
        return Err(anyhow!("no task is given"))
            .hint(|| "name a task file with --task FILE, or public data with --format and --data".into());
    }
    for task in &mut tasks {
        if let Some(limit) = args.limit {
            task.keep_first(limit);
        }
        task.max_tokens = args.max_tokens.unwrap_or(task.max_tokens);
    }
    Ok(tasks)
}
