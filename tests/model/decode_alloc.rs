//! Decoding a token allocates nothing, on any thread. The only test of its binary: see common/alloc.rs.

#[path = "../common/alloc.rs"]
mod alloc;
mod models;

use alloc::{Counting, peak_during};
use brooklet::{Sampler, SamplerConfig, Session, SessionOptions};
use brooklet_kernels::all;
use brooklet_tools::convert::FileType;
use models::model;

#[global_allocator]
static ALLOC: Counting = Counting;

#[test]
fn a_decoded_token_allocates_nothing() {
    for file_type in [FileType::BF16, FileType::Q4_0, FileType::Q4_K_M, FileType::Q8_0] {
        for threads in [1, 3] {
            let model = model("layers", file_type, all()[0]);
            let options = SessionOptions { threads: Some(threads), context: Some(100), ..Default::default() };
            let mut session = Session::new(model, options).expect("a session");
            let mut sampler = Sampler::new(SamplerConfig::default(), session.logits().len());
            session.prefill(&[1, 2, 3]).expect("it fits");
            sampler.observe(session.tokens());
            // The sampler's own buffers grow to the vocabulary's size once.
            sampler.sample(session.logits());
            let ((), bytes) = peak_during(|| {
                for _ in 0..90 {
                    let id = sampler.sample(session.logits());
                    session.decode(id).expect("it fits");
                }
            });
            assert_eq!(bytes, 0, "{}, {threads} threads", file_type.name());
        }
    }
}
