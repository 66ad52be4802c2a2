//! `brooklet quantize`: turn a float GGUF file into a quantized one.

use super::calibration::Calibration;
use super::convert::{EncodingArgs, report, with_ui};
use super::receipt::{Measurement, with_receipt};
use crate::convert::{self, Options, Report};
use crate::model_args::open_model;
use crate::quality::calibration::Source;
use crate::quality::gptq::Gptq;
use crate::ui;
use anyhow::Result;
use std::path::{Path, PathBuf};

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
    args.encoding.check()?;
    let make = |output: &Path| quantize(&args.input, output, &args.encoding);
    let Some(text) = &args.encoding.receipt else { return report(&make(&args.output)?) };
    let (output, inputs) = (&*args.output, std::slice::from_ref(&args.input));
    let measurement = Measurement { text, output, inputs, threads: args.encoding.threads() };
    report(&with_receipt(&measurement, make, |_| Ok((None, open_model(&args.input)?)))?)
}

/// Quantizes a float file, with error feedback where it is asked for.
pub(super) fn quantize(input: &Path, output: &Path, encoding: &EncodingArgs) -> Result<Report> {
    let prepare = |text: &Source| {
        let (special, threads) = (encoding.parse_special, encoding.threads());
        let cancel = ui::interrupted();
        encoding.pool()?.install(|| Calibration::prepare(input, text, special, threads, &cancel))
    };
    let calibration = encoding.gptq.as_ref().map(prepare).transpose()?;
    let (_directory, gptq) = match calibration {
        Some(c) => (Some(c.directory), Some(Gptq::new(input, c.session, c.windows))),
        None => (None, None),
    };
    let work = |options: &Options| convert::quantize_with(input, output, options, gptq.as_ref());
    with_ui("quantizing", encoding, |_| Ok((None, input.to_path_buf())), work)
}
