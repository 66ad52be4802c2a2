//! What a token costs at least, and what the machine can do at most.

use super::stats::median;
use super::test::Test;
use brooklet::model::LayerKind;
use brooklet::model::tensors::{Role, specs};
use brooklet::{Gguf, Model};
use brooklet_kernels::{TensorType, probe};

/// A smaller file may sit in the processor's caches.
pub const LEAST_FILE: usize = 200_000_000;

/// The least work of a token.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Multiply-adds with the matrices of all layers. The embedding is looked up, and the head counts for the
    /// last position of a prompt alone.
    pub macs: u64,
    /// Whether most of them are with quantized weights.
    pub integer: bool,
    /// Bytes of the weights that a generated token reads: everything but an embedding that is not the head.
    weight_bytes: u64,
    /// Bytes of keys and values a position.
    kv_bytes: u64,
    sliding_window: usize,
}

impl Work {
    /// Of a model whose keys and values are stored as `kv`.
    pub fn of(model: &Model, kv: TensorType) -> Work {
        let (gguf, config) = (model.gguf(), model.config());
        let mut work = Work {
            macs: 0,
            integer: false,
            weight_bytes: 0,
            kv_bytes: 0,
            sliding_window: config.sliding_window.unwrap_or(usize::MAX),
        };
        let mut integer_macs = 0;
        let untied = gguf.tensor("output.weight").is_some();
        for spec in specs(config) {
            let Some(tensor) = gguf.tensor(&spec.gguf) else { continue };
            let embedding = spec.gguf == "token_embd.weight";
            if !(embedding && untied) {
                work.weight_bytes += tensor.info.len as u64;
            }
            if spec.role == Role::Matrix && !embedding && spec.gguf != "output.weight" {
                let macs = tensor.info.shape.iter().product::<usize>() as u64;
                work.macs += macs;
                integer_macs += if tensor.info.ty.is_quantized() { macs } else { 0 };
            }
        }
        work.integer = 2 * integer_macs > work.macs;
        for layer in &config.layers {
            if let LayerKind::Attention { num_kv_heads } = layer {
                let row = kv.bytes_for(num_kv_heads * config.head_dim).unwrap_or(0);
                work.kv_bytes += 2 * row as u64;
            }
        }
        work
    }

    /// Bytes that a token generated at `depth` reads: the weights, which `parallel` sequences share, and the keys and
    /// values up to there.
    pub fn bytes(&self, depth: usize, parallel: usize) -> u64 {
        self.weight_bytes / parallel as u64 + self.kv_bytes * depth.min(self.sliding_window) as u64
    }

    /// Work a second at a speed in tokens a second, and the most that the machine can do of it.
    pub fn rate(&self, test: &Test, speed: f64, limits: Option<&Limits>) -> Rate {
        let (a_token, unit, most) = match (test.n_prompt > 0, self.integer) {
            (true, true) => (self.macs, "GMAC/s", limits.and_then(|l| l.integer_macs_per_s)),
            (true, false) => (self.macs, "GMAC/s", limits.and_then(|l| l.float_macs_per_s)),
            (false, _) => {
                (self.bytes(test.n_depth, test.n_parallel), "GB/s", limits.map(|l| l.read_bytes_per_s))
            }
        };
        let most = most.filter(|most| *most > 0.0);
        Rate { a_second: a_token as f64 * speed, unit, most }
    }
}

/// How fast the work of a test was done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Multiply-adds or bytes.
    pub a_second: f64,
    /// 10⁹ of them.
    pub unit: &'static str,
    /// What the machine can do.
    pub most: Option<f64>,
}

impl Rate {
    /// The fraction of what the machine can do.
    pub fn of_most(&self) -> Option<f64> {
        Some(self.a_second / self.most?)
    }
}

/// The machine's limits at a number of threads, all of them together.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Limits {
    /// Reading the model file from its map.
    pub read_bytes_per_s: f64,
    /// Small integers; `null` where no loop is written for the processor.
    pub integer_macs_per_s: Option<f64>,
    /// `f32`.
    pub float_macs_per_s: Option<f64>,
}

impl Limits {
    /// Measures them.
    pub fn measure(gguf: &Gguf, threads: usize) -> Limits {
        Limits {
            read_bytes_per_s: probe::read_bandwidth(gguf.bytes(), threads),
            integer_macs_per_s: probe::integer_peak(threads),
            float_macs_per_s: probe::float_peak(threads),
        }
    }

    /// The medians of repeated measurements; `None` of none.
    pub fn median(samples: &[Limits]) -> Option<Limits> {
        let of = |field: fn(&Limits) -> Option<f64>| {
            let values: Vec<f64> = samples.iter().filter_map(field).collect();
            (!values.is_empty()).then(|| median(&values))
        };
        Some(Limits {
            read_bytes_per_s: of(|l| Some(l.read_bytes_per_s))?,
            integer_macs_per_s: of(|l| l.integer_macs_per_s),
            float_macs_per_s: of(|l| l.float_macs_per_s),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Work =
        Work { macs: 1000, integer: true, weight_bytes: 500, kv_bytes: 4, sliding_window: 100 };
    const LIMITS: Limits =
        Limits { read_bytes_per_s: 4000.0, integer_macs_per_s: Some(8000.0), float_macs_per_s: Some(2000.0) };

    #[test]
    fn prompts_are_held_against_arithmetic_and_generation_against_memory() {
        let test =
            |n_prompt, n_gen, n_depth| Test { n_prompt, n_gen, n_depth, n_parallel: 1, n_threads: None };
        let prompt = WORK.rate(&test(8, 0, 50), 2.0, Some(&LIMITS));
        assert_eq!(prompt, Rate { a_second: 2000.0, unit: "GMAC/s", most: Some(8000.0) });
        assert_eq!(prompt.of_most(), Some(0.25));
        let float = Work { integer: false, ..WORK }.rate(&test(8, 0, 0), 2.0, Some(&LIMITS));
        assert_eq!(float.of_most(), Some(1.0));
        let generation = WORK.rate(&test(0, 8, 0), 2.0, Some(&LIMITS));
        assert_eq!(generation, Rate { a_second: 1000.0, unit: "GB/s", most: Some(4000.0) });
        // Keys and values as far as the window reaches.
        assert_eq!(WORK.rate(&test(0, 8, 50), 2.0, Some(&LIMITS)).a_second, 1400.0);
        assert_eq!(WORK.rate(&test(0, 8, 5000), 2.0, None).a_second, 1800.0);
        assert_eq!(WORK.rate(&test(0, 8, 0), 2.0, None).of_most(), None);
        // Weights are read once for all sequences, keys and values by each.
        let four = Test { n_parallel: 4, ..test(0, 8, 50) };
        assert_eq!(WORK.rate(&four, 2.0, None).a_second, 2.0 * (500.0 / 4.0 + 200.0));
    }

    #[test]
    fn medians_of_limits_are_taken_one_by_one() {
        let unknown = Limits { integer_macs_per_s: None, float_macs_per_s: None, ..LIMITS };
        assert_eq!(Limits::median(&[unknown]), Some(unknown));
        let slow = Limits { read_bytes_per_s: 1.0, ..LIMITS };
        assert_eq!(Limits::median(&[slow, LIMITS, LIMITS]), Some(LIMITS));
        assert_eq!(Limits::median(&[]), None);
    }
}
