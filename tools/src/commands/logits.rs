//! `brooklet logits`: print the model's logits for a text or ids as JSON.

use crate::hint::HintExt;
use crate::model_args::ModelArgs;
use anyhow::{Context, Result, anyhow, bail};
use std::io::{self, BufWriter, Write};

/// Arguments of `brooklet logits`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Prints {\"ids\": [...], \"logits\": [...]}: one number a vocabulary entry, those of the token \
                  after the text. The numbers read back as exactly the floats that were computed.\n\n\
                  Examples:\n  brooklet logits -m model.gguf -p \"The capital of France is\"\n  \
                  brooklet logits -m model.gguf --ids 1,2,3 --all --kv-type f32"
)]
#[command(mut_arg("seed", |a| a.hide(true)))]
#[command(group(clap::ArgGroup::new("input").required(true).args(["prompt", "ids"])))]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The text; special tokens in it are parsed and the begin-of-text token is put in front
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Option<String>,
    /// Token ids instead of a text, taken as they are, without begin-of-text
    #[arg(long, value_name = "ID,ID,…", value_delimiter = ',')]
    ids: Option<Vec<u32>>,
    /// Print the logits after every token: a list of lists
    #[arg(long)]
    all: bool,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let model = args.model.open()?;
    let ids = match (args.prompt, args.ids) {
        (Some(text), _) => args.model.tokenizer(model.gguf())?.encode_with_bos(&text)?,
        (None, Some(ids)) => ids,
        (None, None) => bail!("neither a text nor ids"),
    };
    if ids.is_empty() {
        return Err(anyhow!("there are no tokens to compute")).hint(|| "give a text with -p".into());
    }
    let mut session = args.model.session(&model)?;

    let mut out = BufWriter::new(io::stdout().lock());
    let start = |out: &mut BufWriter<_>| -> Result<()> {
        out.write_all(b"{\"ids\":")?;
        serde_json::to_writer(&mut *out, &ids)?;
        out.write_all(b",\"logits\":")?;
        Ok(())
    };
    if args.all {
        // Row by row: all of them together are gigabytes for a long text.
        let mut outcome = Ok(());
        session.prefill_each(&ids, |i, row| {
            if outcome.is_ok() {
                outcome = check_finite(i, row).and_then(|()| {
                    if i == 0 {
                        start(&mut out)?;
                    }
                    out.write_all(if i == 0 { b"[" } else { b"," })?;
                    Ok(serde_json::to_writer(&mut out, row)?)
                });
            }
        })?;
        outcome?;
        out.write_all(b"]")?;
    } else {
        let row = session.prefill(&ids)?;
        check_finite(ids.len() - 1, row)?;
        start(&mut out)?;
        serde_json::to_writer(&mut out, row)?;
    }
    out.write_all(b"}\n")?;
    out.flush().context("cannot write standard output")
}

/// JSON has no NaN, and logits that are none cannot be used anyway.
fn check_finite(position: usize, row: &[f32]) -> Result<()> {
    match row.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(id) => bail!(
            "the logit of token {id} at position {position} is {}: the model's weights are damaged",
            row[id]
        ),
    }
}
