//! What is measured.

use brooklet_kernels::TensorType;

/// One measurement to make: either a prompt or a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    pub n_prompt: usize,
    pub n_gen: usize,
    pub n_depth: usize,
    /// `None` is the default.
    pub n_threads: Option<usize>,
}

impl Test {
    /// Tokens the time is for.
    pub fn tokens(&self) -> usize {
        self.n_prompt + self.n_gen
    }

    /// Positions it takes.
    pub fn context(&self) -> usize {
        self.tokens().saturating_add(self.n_depth)
    }

    /// llama-bench's name: `pp512`, `tg128 @ d4096`.
    pub fn name(&self) -> String {
        let name =
            if self.n_prompt > 0 { format!("pp{}", self.n_prompt) } else { format!("tg{}", self.n_gen) };
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
/// `threads` gives the counts for a prompt (true) and for a generation.
pub fn combinations(
    n_prompt: &[usize],
    n_gen: &[usize],
    n_depth: &[usize],
    threads: &[[Option<usize>; 2]],
) -> Vec<Test> {
    let mut tests = Vec::new();
    for &[prefill, decode] in threads {
        for &n_depth in n_depth {
            let prompts = n_prompt.iter().map(|n| (*n, 0, prefill));
            let generations = n_gen.iter().map(|n| (0, *n, decode));
            for (n_prompt, n_gen, n_threads) in prompts.chain(generations).filter(|t| (t.0, t.1) != (0, 0)) {
                tests.push(Test { n_prompt, n_gen, n_depth, n_threads });
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
        let test = |n_prompt, n_gen, n_depth| Test { n_prompt, n_gen, n_depth, n_threads: None }.name();
        assert_eq!(test(512, 0, 0), "pp512");
        assert_eq!(test(0, 128, 4096), "tg128 @ d4096");
    }

    #[test]
    fn prompts_and_generations_may_have_threads_of_their_own() {
        let tests = combinations(&[8, 0], &[4], &[0, 32], &[[Some(4), Some(2)]]);
        let seen: Vec<_> = tests.iter().map(|t| (t.name(), t.n_threads)).collect();
        let expected = [("pp8", 4), ("tg4", 2), ("pp8 @ d32", 4), ("tg4 @ d32", 2)];
        assert_eq!(seen, expected.map(|(name, t)| (name.to_string(), Some(t))));
    }
}
