//! What is measured.

use brooklet_kernels::TensorType;

/// One measurement to make: either a prompt or a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    pub n_prompt: usize,
    pub n_gen: usize,
    pub n_depth: usize,
    /// Sequences that are generated at once, each of `n_gen` tokens.
    pub n_parallel: usize,
    /// `None` is the default.
    pub n_threads: Option<usize>,
}

impl Test {
    /// Tokens the time is for, of all sequences together.
    pub fn tokens(&self) -> usize {
        self.n_prompt + self.n_gen * self.n_parallel
    }

    /// Positions that a sequence takes.
    pub fn context(&self) -> usize {
        (self.n_prompt + self.n_gen).saturating_add(self.n_depth)
    }

    /// llama-bench's name: `pp512`, `tg128 @ d4096`; of several sequences, `tg128 × 4`.
    pub fn name(&self) -> String {
        let mut name =
            if self.n_prompt > 0 { format!("pp{}", self.n_prompt) } else { format!("tg{}", self.n_gen) };
        if self.n_parallel > 1 {
            name += &format!(" × {}", self.n_parallel);
        }
        if self.n_depth > 0 { format!("{name} @ d{}", self.n_depth) } else { name }
    }

    /// Tokens a second, from nanoseconds.
    pub fn speed(&self, ns: u64) -> f64 {
        self.tokens() as f64 * 1e9 / ns.max(1) as f64
    }
}

/// How keys and values are named by both programs: `f16`.
pub fn kv_name(ty: TensorType) -> String {
    ty.name().to_lowercase()
}

/// Every combination in llama-bench's order: prompts before generations within a depth within a thread count.
/// `threads` gives the counts for a prompt (true) and for a generation. More tokens at once than are `few` are computed as a prompt
/// is.
pub fn combinations(
    n_prompt: &[usize],
    n_gen: &[usize],
    n_depth: &[usize],
    n_parallel: &[usize],
    threads: &[[Option<usize>; 2]],
    few: usize,
) -> Vec<Test> {
    let mut tests = Vec::new();
    for &[prefill, decode] in threads {
        for &n_depth in n_depth {
            for &n_prompt in n_prompt.iter().filter(|n| **n > 0) {
                tests.push(Test { n_prompt, n_gen: 0, n_depth, n_parallel: 1, n_threads: prefill });
            }
            for &n_gen in n_gen.iter().filter(|n| **n > 0) {
                for &n_parallel in n_parallel {
                    let n_threads = if n_parallel > few { prefill } else { decode };
                    tests.push(Test { n_prompt: 0, n_gen, n_depth, n_parallel, n_threads });
                }
            }
        }
    }
    tests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_named_as_llama_bench_does() {
        let test = |n_prompt, n_gen, n_depth, n_parallel| {
            Test { n_prompt, n_gen, n_depth, n_parallel, n_threads: None }.name()
        };
        assert_eq!(test(512, 0, 0, 1), "pp512");
        assert_eq!(test(0, 128, 4096, 1), "tg128 @ d4096");
        assert_eq!(test(0, 128, 4096, 8), "tg128 × 8 @ d4096");
    }

    #[test]
    fn prompts_and_generations_may_have_threads_of_their_own() {
        let tests = combinations(&[8, 0], &[4], &[0, 32], &[1, 2], &[[Some(4), Some(2)]], 8);
        let seen: Vec<_> = tests.iter().map(|t| (t.name(), t.n_threads)).collect();
        let expected = [
            ("pp8", 4),
            ("tg4", 2),
            ("tg4 × 2", 2),
            ("pp8 @ d32", 4),
            ("tg4 @ d32", 2),
            ("tg4 × 2 @ d32", 2),
        ];
        assert_eq!(seen, expected.map(|(name, t)| (name.to_string(), Some(t))));
    }
}
