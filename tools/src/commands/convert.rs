//! `brooklet convert`: turn a Hugging Face LFM2 checkpoint directory into a GGUF file.

use super::base::{Float, LoraArgs, float_file, open_base};
use super::mixture::{Auto, Size, TypeArg};
use super::quantize::quantize;
use super::receipt::{Measurement, with_receipt};
use crate::convert::{self, Checkpoint, FileType, Options, Progress, Report, Types};
use crate::hub;
use crate::model_args::parse_model;
use crate::quality::calibration::Source;
use crate::quality::imatrix::Imatrix;
use crate::ui;
use anyhow::{Context, Result, bail};
use brooklet_kernels::TensorType;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// What `--type` takes and how the command is typed, for `--help`.
const AFTER_HELP: &str = "\
Types, with the bits that a weight takes in LFM2-1.2B:
  q4_0     4.7  small and fast: what most people want on a phone or a Pi
  iq4_nl   4.8  as small, a little more accurate, a little slower
  q4_k_m   5.0  more accurate than q4_0
  q5_k_m   5.8
  q6_k     6.6
  q8_0     8.5  practically as good as the original
  bf16    16    exactly the original, where the checkpoint is bf16
  f16     16
  f32     32
  auto     a type for each matrix, so that the file keeps to --size and loses as little as may be
Every other type puts each tensor in the type that llama.cpp's quantizer chooses for it.

Examples:
  brooklet convert LFM2-350M
  brooklet convert LFM2-1.2B --type q4_k_m -o lfm2.gguf
  brooklet convert LFM2-350M --lora my-adapter
  brooklet convert LFM2-350M --gptq self
  brooklet convert LFM2-350M --type auto --size 215MB
  brooklet convert hf:LiquidAI/LFM2-350M --type q8_0";

/// Arguments of `brooklet convert`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The checkpoint: a directory with config.json, tokenizer.json and model.safetensors, or hf:ORG/REPO
    #[arg(value_name = "DIR", value_parser = parse_model)]
    dir: PathBuf,

    /// Where to write; a directory is given the default name [default: NAME-TYPE.gguf, as LFM2-350M-Q4_0.gguf]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    adapters: LoraArgs,

    #[command(flatten)]
    encoding: EncodingArgs,
}

/// How weights are encoded.
#[derive(Debug, clap::Args)]
pub(super) struct EncodingArgs {
    /// How to store the weights
    #[arg(short = 'T', long = "type", value_name = "TYPE", default_value = "q4_0")]
    file_type: TypeArg,

    /// For --type auto: how large the file may be, as 200MB, or how many bits a weight may take, as 4.8bpw
    #[arg(long, value_name = "SIZE", required_if_eq("file_type", "auto"))]
    size: Option<Size>,

    /// For --type auto: the text to measure on which matrices need their bits, and their importance where --imatrix does
    /// not give it [default: self, which is one that the model writes itself]
    #[arg(long, value_name = "TEXT|self")]
    calibrate: Option<Source>,

    /// Take what spells special tokens in a text to measure on, such as <|im_start|>, for these tokens
    #[arg(long)]
    pub parse_special: bool,

    /// Weigh errors by an importance matrix, as `brooklet imatrix` and llama.cpp's llama-imatrix measure it; takes longer
    #[arg(long, value_name = "FILE")]
    imatrix: Option<PathBuf>,

    /// Search longer for small errors, as an importance matrix has it done too
    #[arg(long)]
    search: bool,

    /// Make up for what rounding a weight loses by how others are rounded (GPTQ), as this text says; `self` is one that
    /// the model writes itself. Takes long, and needs no importance matrix
    #[arg(long, value_name = "TEXT|self", conflicts_with = "imatrix")]
    pub gptq: Option<Source>,

    /// Measure on this text what is lost against the float weights, and write that into the file with a self-test of its
    /// tokenizer; a temporary copy of the file is made beside it
    #[arg(long, value_name = "TEXT")]
    pub receipt: Option<PathBuf>,

    /// Threads [default: all cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl EncodingArgs {
    /// Threads, where a number is asked for.
    pub fn threads(&self) -> Option<usize> {
        self.threads.map(usize::from)
    }

    /// A pool of that many.
    pub fn pool(&self) -> Result<rayon::ThreadPool> {
        Ok(rayon::ThreadPoolBuilder::new().num_threads(self.threads().unwrap_or(0)).build()?)
    }

    /// Whether the arguments go together.
    pub fn check(&self) -> Result<()> {
        match (self.file_type, self.size, &self.calibrate) {
            (TypeArg::Fixed(_), None, None) | (TypeArg::Auto, Some(_), _) => Ok(()),
            _ => bail!("--size and --calibrate are for --type auto, which needs --size"),
        }
    }

    /// The types of matrices, where they are to be measured, and the importance matrix; of arguments that were checked.
    fn measured(
        &self,
        float: impl FnOnce(&AtomicBool) -> Result<Float>,
        cancel: &AtomicBool,
    ) -> Result<(Option<Types>, Option<Imatrix>)> {
        let imatrix = self.imatrix.as_deref().map(Imatrix::read).transpose()?;
        let Some(size) = self.size else { return Ok((None, imatrix)) };
        let (_directory, float) = float(cancel)?;
        let (text, parse_special) = (self.calibrate.as_ref().unwrap_or(&Source::Model), self.parse_special);
        let auto = Auto { size, text, parse_special, imatrix, threads: self.threads() };
        let (types, imatrix) = auto.measure(&float, cancel)?;
        Ok((Some(types), Some(imatrix)))
    }
}

/// Runs the command.
///
/// The file's path goes to stdout when it is complete; progress, warnings and the summary to stderr.
pub fn run(args: Args) -> Result<()> {
    let dir = hub::local_checkpoint(&args.dir)?;
    let Args { adapters, encoding, output, .. } = args;
    let output = output_path(&dir, output, &adapters.lora, encoding.file_type)?;
    let float = |cancel: &AtomicBool| float_file(&dir, &adapters, cancel);
    encoding.check()?;
    let make = |output: &Path| {
        if encoding.gptq.is_some() {
            let (_directory, float) = float(&ui::interrupted())?;
            return quantize(&float, output, &encoding);
        }
        let work = |options: &Options| {
            let options = Options { lora: &adapters.lora, lora_scale: adapters.lora_scale, ..*options };
            convert::convert(&dir, output, &options)
        };
        with_ui("converting", &encoding, float, work)
    };
    let Some(text) = &encoding.receipt else { return report(&make(&output)?) };
    let inputs: Vec<PathBuf> = Checkpoint::open(&dir)?.paths().map(Path::to_path_buf).collect();
    let measurement = Measurement { text, output: &output, inputs: &inputs, threads: encoding.threads() };
    report(&with_receipt(&measurement, make, |cancel| open_base(&dir, &adapters, cancel))?)
}

pub(super) fn parse_type(text: &str) -> Result<FileType, String> {
    text.parse()
}

/// `NAME-TYPE.gguf` where no file is named, as llama.cpp's converter names files; the names of adapters follow the model's.
fn output_path(dir: &Path, output: Option<PathBuf>, lora: &[PathBuf], file_type: TypeArg) -> Result<PathBuf> {
    let folder = match output {
        Some(path) if !path.is_dir() => return Ok(path),
        other => other.unwrap_or_default(),
    };
    let mut file = name_of(dir)?;
    for adapter in lora {
        file.push("-");
        file.push(name_of(adapter)?);
    }
    let name = match file_type {
        TypeArg::Fixed(file_type) => file_type.name(),
        TypeArg::Auto => "auto",
    };
    file.push(format!("-{}.gguf", name.to_uppercase()));
    Ok(folder.join(file))
}

/// What a directory is called, however it was typed.
fn name_of(dir: &Path) -> Result<OsString> {
    let full = std::path::absolute(dir).context("the current directory")?;
    match full.file_name() {
        Some(name) => Ok(name.to_os_string()),
        None => bail!("{} has no name: name the output with -o", dir.display()),
    }
}

/// Runs a conversion with a progress bar, until Ctrl-C.
pub(super) fn with_ui(
    message: &str,
    args: &EncodingArgs,
    float: impl FnOnce(&AtomicBool) -> Result<Float> + Send,
    work: impl FnOnce(&Options) -> convert::Result<Report> + Send,
) -> Result<Report> {
    let cancel = ui::interrupted();
    let pool = args.pool()?;
    let (types, imatrix) = pool.install(|| args.measured(float, &cancel))?;
    let bar = ui::byte_bar(0, message);
    let progress = |p: Progress| {
        bar.set_length(p.total);
        bar.set_position(p.done);
    };
    let options = Options {
        file_type: match args.file_type {
            TypeArg::Fixed(file_type) => file_type,
            TypeArg::Auto => FileType::Q8_0,
        },
        types: types.as_ref(),
        imatrix: imatrix.as_ref(),
        search: args.search,
        progress: Some(&progress),
        cancel: Some(&cancel),
        ..Options::default()
    };
    let outcome = pool.install(|| work(&options));
    bar.finish_and_clear();
    Ok(outcome?)
}

/// Prints warnings and the summary on stderr, the path on stdout.
pub(super) fn report(report: &Report) -> Result<()> {
    for warning in &report.warnings {
        eprintln!("warning: {warning}");
    }
    let mut rows = vec![["type", "tensors", "weights", "size"].map(String::from)];
    for (ty, count) in &report.types {
        rows.push([
            ty.to_string(),
            count.tensors.to_string(),
            ui::human_count(count.params),
            ui::human_bytes(count.bytes),
        ]);
    }
    eprint!("{}", ui::table(&rows));
    if report.kept > 0 {
        let of = report.types.get(&TensorType::Q4_0).map_or(0, |count| count.tensors);
        eprintln!(
            "{} of {of} Q4_0 tensors kept on their grid: they come back exactly as they were",
            report.kept
        );
    }
    eprintln!(
        "{} weights, {} -> {}, {:.2} bits a weight, {:.1} s",
        ui::human_count(report.params),
        ui::human_bytes(report.bytes_in),
        ui::human_bytes(report.bytes_out),
        report.bits_per_weight(),
        report.time.as_secs_f64()
    );
    ui::print_line(&report.path.display())
}
