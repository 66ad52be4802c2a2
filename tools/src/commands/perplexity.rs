//! `brooklet perplexity`: measure how well a model predicts a text, alone or beside the model that it was made of.

use super::base::{LoraArgs, open_base};
use crate::conversation::{read_stdin, read_text, without_last_newline};
use crate::model_args::{ModelArgs, parse_model, parse_positive};
use crate::quality::divergence::{Comparison, compare};
use crate::quality::perplexity::{Estimate, Perplexity, measure};
use crate::quality::windows::{DEFAULT_CONTEXT, Extent, Options, Progress};
use crate::terminal::print_json;
use crate::ui;
use anyhow::Result;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Arguments of `brooklet perplexity`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Counted as llama.cpp's llama-perplexity counts: the text's tokens are cut into windows, BOS takes the \
                  place of each one's first token, and the second half of each is scored. ± is one standard error. \
                  Compare perplexities only of the same text, windows and tokenizer.\n\n\
                  With --base: ratio of the perplexities; Kullback-Leibler divergence from the base's predictions, in nats \
                  a token; how often both models hold the same token for the likeliest; and how much the text's tokens \
                  gain in probability (Δp).\n\n\
                  Examples:\n  brooklet perplexity -m model-q4_0.gguf -f notes.txt\n  \
                  brooklet perplexity -m model-q4_0.gguf -f notes.txt --base model-bf16.gguf --json\n  \
                  brooklet perplexity -m LFM2-350M-Q4_0.gguf -f notes.txt --base LFM2-350M --chunks 20"
)]
#[command(mut_arg("seed", |a| a.hide(true)))]
#[command(mut_arg("ctx", |a| a.visible_alias("ctx-size").help("Tokens a window [default: 512]")))]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The text, less one newline at its end (- is standard input)
    #[arg(short, long, value_name = "TEXT")]
    file: PathBuf,
    /// Compare with this model: a GGUF file, or a checkpoint directory, of which a float GGUF file is made in the
    /// directory for temporary files
    #[arg(long, value_name = "FILE", value_parser = parse_model)]
    base: Option<PathBuf>,
    /// Take no more windows than these, from the start of the text
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    chunks: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Measured<'a, T> {
    model: &'a Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<&'a Path>,
    file: &'a Path,
    #[serde(flatten)]
    figures: &'a T,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let text = match args.file.to_str() {
        Some("-") => read_stdin()?,
        _ => read_text(&args.file)?,
    };
    let text = without_last_newline(text);
    let model = args.model.open()?;
    let cancel = ui::interrupted();
    // Dropped last: the base is mapped from it.
    let (_directory, base) = match &args.base {
        Some(path) => {
            let (directory, base) = open_base(path, &LoraArgs::default(), &cancel)?;
            (directory, Some(base))
        }
        None => (None, None),
    };

    let bar = ui::step_bar(0, "Measuring");
    let progress = |p: Progress| {
        bar.set_length(p.total as u64);
        bar.set_position(p.done as u64);
        let kl = p.kl_divergence.map_or(String::new(), |kl| format!(", KL divergence {kl:.5}"));
        bar.set_message(format!("Perplexity {:.4}{kl}", p.perplexity));
    };
    let options = Options {
        context: args.model.ctx.unwrap_or(DEFAULT_CONTEXT),
        most_windows: args.chunks,
        session: args.model.session_options(),
        progress: Some(&progress),
        cancel: Some(&cancel),
    };
    match base {
        None => {
            let figures = measure(&model, &text, &options);
            bar.finish_and_clear();
            let figures = figures?;
            print(&args, &figures, &figures.extent, &perplexity_rows(&figures))
        }
        Some(base) => {
            let figures = compare(&model, &base, &text, &options);
            bar.finish_and_clear();
            let figures = figures?;
            print(&args, &figures, &figures.extent, &comparison_rows(&figures))
        }
    }
}

fn print(args: &Args, figures: &impl Serialize, extent: &Extent, rows: &[[String; 2]]) -> Result<()> {
    if args.json {
        let base = args.base.as_deref();
        return print_json(&Measured { model: &args.model.model, base, file: &args.file, figures });
    }
    let Extent { tokens, context, windows, scored } = extent;
    let heading = format!("{tokens} tokens, {windows} windows of {context}, {scored} tokens scored");
    ui::print_line(&format_args!("{heading}\n\n{}", ui::table(rows).trim_end()))
}

fn perplexity_rows(p: &Perplexity) -> Vec<[String; 2]> {
    vec![row("perplexity", p.perplexity, 4, "")]
}

fn comparison_rows(c: &Comparison) -> Vec<[String; 2]> {
    let kl = &c.kl_divergence;
    let plain = |name: &str, value: f64| [name.to_string(), format!("{value:.6}")];
    vec![
        row("perplexity", c.perplexity, 4, ""),
        row("perplexity of the base", c.base_perplexity, 4, ""),
        row("ratio", c.ratio, 6, ""),
        row("ln ratio", c.ln_ratio, 6, ""),
        row("KL divergence, mean", kl.mean, 6, ""),
        plain("KL divergence, median", kl.median),
        plain("KL divergence, 90 %", kl.p90),
        plain("KL divergence, 95 %", kl.p95),
        plain("KL divergence, 99 %", kl.p99),
        plain("KL divergence, largest", kl.max),
        row("same top token", percent(c.same_top), 3, " %"),
        row("Δp, mean", percent(c.mean_delta_p), 3, " %"),
        row("Δp, root mean square", percent(c.rms_delta_p), 3, " %"),
    ]
}

fn row(name: &str, Estimate { value, error }: Estimate, decimals: usize, unit: &str) -> [String; 2] {
    [name.to_string(), format!("{value:.decimals$} ± {error:.decimals$}{unit}")]
}

fn percent(Estimate { value, error }: Estimate) -> Estimate {
    Estimate { value: 100.0 * value, error: 100.0 * error }
}
