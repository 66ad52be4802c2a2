//! `brooklet quantize`: turn a float GGUF file into a quantized one.

use super::convert::{EncodingArgs, report, with_ui};
use crate::convert::{self, Options};
use anyhow::Result;
use std::path::PathBuf;

/// Arguments of `brooklet quantize`.
#[derive(Debug, clap::Args)]
#[command(after_help = "The types are those of `brooklet convert --help`.\n\n\
                  Example:\n  brooklet quantize LFM2-350M-BF16.gguf LFM2-350M-Q4_K_M.gguf --type q4_k_m")]
pub struct Args {
    /// A GGUF file of type f32, f16 or bf16, brooklet's or llama.cpp's
    #[arg(value_name = "IN.gguf")]
    input: PathBuf,

    /// Where to write
    #[arg(value_name = "OUT.gguf")]
    output: PathBuf,

    #[command(flatten)]
    encoding: EncodingArgs,
}

/// Runs the command; output as of `brooklet convert`.
pub fn run(args: Args) -> Result<()> {
    let work = |options: &Options| convert::quantize(&args.input, &args.output, options);
    report(&with_ui("quantizing", &args.encoding, work)?)
}
