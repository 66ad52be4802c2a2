//! `--type auto` of `convert` and `quantize`: measures on a text which matrices need their bits, and chooses a type for
//! each so that the file keeps to a size.

use super::calibration::Calibration;
use super::imatrix;
use crate::convert::mixture::{COARSE, choose, divergences};
use crate::convert::{self, FileType, Options, Progress, Rounding, Types};
use crate::quality::calibration::Source;
use crate::quality::imatrix::Imatrix;
use crate::terminal::note;
use crate::ui;
use anyhow::{Context, Result, anyhow};
use brooklet::{Gguf, SessionOptions};
use brooklet_kernels::TensorType;
use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

/// Windows of the text that each matrix is tried on: as many as a matrix of the 1.2B model takes half a minute for.
const WINDOWS: usize = 4;
/// Where tensors start in a file.
const ALIGNMENT: u64 = 32;

/// `--type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TypeArg {
    /// One of the mixtures that there are.
    Fixed(FileType),
    /// One that is measured.
    Auto,
}

impl FromStr for TypeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(TypeArg::Auto),
            text => text.parse().map(TypeArg::Fixed).map_err(|e: String| e + ", auto"),
        }
    }
}

/// What `--size` takes: a file's size, or the bits that a weight takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Size {
    Bytes(u64),
    BitsPerWeight(f64),
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim().to_ascii_lowercase();
        let number: f64 = number.parse().map_err(|_| expected(text))?;
        if unit == "bpw" {
            return match number {
                0.0..=32.0 => Ok(Size::BitsPerWeight(number)),
                _ => Err(format!("{text}: a weight takes 32 bits at most")),
            };
        }
        let units = [
            ("mb", 1e6),
            ("gb", 1e9),
            ("mib", 1048576.0),
            ("gib", 1073741824.0),
            ("kb", 1e3),
            ("kib", 1024.0),
        ];
        let (_, scale) = units.into_iter().find(|(name, _)| *name == unit).ok_or_else(|| expected(text))?;
        Ok(Size::Bytes((number * scale) as u64))
    }
}

fn expected(text: &str) -> String {
    format!("{text}: expected a size with its unit, as 200MB, 190MiB or 1.2GB, or bits a weight, as 4.8bpw")
}

/// What to measure.
pub(super) struct Auto<'a> {
    pub size: Size,
    /// The text.
    pub text: &'a Source,
    /// Whether special tokens in the text are such.
    pub parse_special: bool,
    /// Where one is given; else it is measured on the text.
    pub imatrix: Option<Imatrix>,
    /// Threads, where a number is asked for.
    pub threads: Option<usize>,
}

impl Auto<'_> {
    /// A type for each matrix of the float file `float`, and the importance matrix that it was found with.
    pub fn measure(self, float: &Path, cancel: &AtomicBool) -> Result<(Types, Imatrix)> {
        // Before anything that takes long.
        let smallest = convert::smallest(float, &quantized())?;
        let names: Vec<String> = smallest.keys().cloned().collect();
        let room = Room::new(self.size, float, &names)?;
        let smallest = smallest.into_values().map(|bytes| bytes.next_multiple_of(room.align)).sum();
        if smallest > room.matrices {
            return Err(room.too_small(smallest));
        }

        let Calibration { mut session, windows, file: fine, directory } =
            Calibration::prepare(float, self.text, self.parse_special, self.threads, cancel)?;
        let file = |name: &str| directory.path().join(name);
        let imatrix = match self.imatrix {
            Some(imatrix) => imatrix,
            None => {
                let file = file("imatrix.gguf");
                imatrix::measure(&mut session, &windows, self.text, &file, cancel)?;
                Imatrix::read(&file)?.of_temporary_file()
            }
        };
        let context = Some(session.context());
        drop(session);

        let roundings = try_types(float, &imatrix, cancel)?;
        let coarse = roundings.iter().filter(|r| r.ty == COARSE);
        let all_coarse: Types = coarse.map(|r| (r.name.clone(), r.ty)).collect();
        let coarse = file("coarse.gguf");
        let options = Options {
            types: Some(&all_coarse),
            imatrix: Some(&imatrix),
            cancel: Some(cancel),
            ..Options::default()
        };
        convert::quantize(float, &coarse, &options)?;

        let bar = ui::step_bar(all_coarse.len() as u64, "measuring matrices");
        let step = windows.len().div_ceil(WINDOWS);
        let some: Vec<Vec<u32>> = windows.into_iter().step_by(step).collect();
        let session = SessionOptions { context, threads: self.threads, ..Default::default() };
        let divergences = divergences([&fine, &coarse], &names, &some, &session, |done| {
            bar.set_position(done as u64);
            !cancel.load(Ordering::Relaxed)
        });
        bar.finish_and_clear();
        let divergences = divergences.with_context(|| self.text.to_string())?;

        // As the file will have them, the keys say what it was quantized with.
        let room = Room::new(self.size, &coarse, &names)?;
        let types = choose(&roundings, &divergences, room.matrices, room.align);
        let types = types.map_err(|smallest| room.too_small(smallest))?;
        note(summary(&types, &divergences).trim_end());
        Ok((types, imatrix))
    }
}

/// The types that matrices are tried in.
fn quantized() -> Vec<TensorType> {
    TensorType::ALL.into_iter().filter(|ty| ty.is_quantized()).collect()
}

/// What every matrix loses in every type.
fn try_types(float: &Path, imatrix: &Imatrix, cancel: &AtomicBool) -> Result<Vec<Rounding>> {
    let bar = ui::step_bar(0, "trying types");
    let progress = |p: Progress| {
        bar.set_length(p.total);
        bar.set_position(p.done);
    };
    let options = Options {
        imatrix: Some(imatrix),
        progress: Some(&progress),
        cancel: Some(cancel),
        ..Options::default()
    };
    let roundings = convert::roundings(float, &quantized(), &options);
    bar.finish_and_clear();
    Ok(roundings?)
}

/// What `--size` leaves to matrices.
struct Room {
    matrices: u64,
    /// What each of them is rounded up to.
    align: u64,
    /// Bytes of all else.
    rest: u64,
    /// Of a size in bits a weight: the model's weights.
    params: Option<usize>,
}

impl Room {
    /// Of the model of `file`, which takes as much beside the named matrices as any other file of it.
    fn new(size: Size, file: &Path, names: &[String]) -> Result<Room> {
        let gguf = Gguf::open(file)?;
        let tensors = gguf.tensors();
        let (all, align) = match size {
            Size::Bytes(_) => (gguf.file_len() as u64, ALIGNMENT),
            Size::BitsPerWeight(_) => (tensors.iter().map(|t| t.len as u64).sum(), 1),
        };
        let matrices = tensors.iter().filter(|t| names.contains(&t.name));
        let rest = all.saturating_sub(matrices.map(|t| (t.len as u64).next_multiple_of(align)).sum());
        let params: usize = tensors.iter().map(|t| t.shape.iter().product::<usize>()).sum();
        let (size, params) = match size {
            Size::Bytes(bytes) => (bytes, None),
            Size::BitsPerWeight(bits) => ((bits * params as f64 / 8.0) as u64, Some(params)),
        };
        Ok(Room { matrices: size.saturating_sub(rest), align, rest, params })
    }

    /// The error where matrices take so many bytes at least. It says the size that they fit, rounded up, as `--size` takes it.
    fn too_small(&self, matrices: u64) -> anyhow::Error {
        let bytes = (matrices + self.rest) as f64;
        let size = match self.params {
            None => format!("{:.1}MB", (bytes / 1e5).ceil() / 10.0),
            Some(params) => format!("{:.2}bpw", (bytes * 800.0 / params as f64).ceil() / 100.0),
        };
        anyhow!("--size: the smallest file that there is takes {size}")
    }
}

/// A table of what was measured and chosen: matrices of one kind, by how much of the divergence they make up.
fn summary(types: &Types, divergences: &BTreeMap<String, f64>) -> String {
    let mut kinds: BTreeMap<&str, (f64, BTreeMap<TensorType, usize>)> = BTreeMap::new();
    for (name, ty) in types {
        let kind =
            name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')).map_or(&**name, |(_, kind)| kind);
        let (divergence, counts) = kinds.entry(kind.trim_end_matches(".weight")).or_default();
        *divergence += divergences.get(name).copied().unwrap_or(0.0);
        *counts.entry(*ty).or_default() += 1;
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by(|a, b| b.1.0.total_cmp(&a.1.0));
    let mut rows = vec![["matrices".to_string(), format!("divergence in {COARSE}"), "types".to_string()]];
    for (kind, (divergence, counts)) in kinds {
        let counts: Vec<String> = counts.iter().map(|(ty, n)| format!("{n} {ty}")).collect();
        rows.push([kind.to_string(), format!("{divergence:.6}"), counts.join(", ")]);
    }
    ui::table(&rows)
}
