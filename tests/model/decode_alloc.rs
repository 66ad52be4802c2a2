//! Decoding a token allocates nothing, on any thread. The only test of its binary: see common/alloc.rs.

#[path = "../common/alloc.rs"]
mod alloc;
mod models;

use alloc::{Counting, peak_during};
use brooklet::{Sampler, SamplerConfig, Session, SessionOptions};
use brooklet_kernels::active;
use brooklet_tools::convert::FileType;
use models::{SHAPES, model};
use std::time::Duration;

#[global_allocator]
static ALLOC: Counting = Counting;

#[test]
fn a_decoded_token_allocates_nothing() {
    // All conversions first: their threads allocate and free until they have ended.
    let kernels = active().expect("a kernel set");
    let types = [FileType::BF16, FileType::Q4_0, FileType::Q4_K_M, FileType::Q8_0];
    let models: Vec<_> =
        types.into_iter().flat_map(|ty| SHAPES.map(|shape| (shape, ty, model(shape, ty, kernels)))).collect();
    for (shape, file_type, model) in models {
        for threads in [1, 3] {
            let model = model.clone();
            let options = SessionOptions { threads: Some(threads), context: Some(100), ..Default::default() };
            let mut session = Session::new(model, options).expect("a session");
            let mut sampler = Sampler::new(SamplerConfig::default(), session.logits().len());
            session.prefill(&[1, 2, 3]).expect("it fits");
            sampler.observe(session.tokens());
            // A thread allocates as it starts, and some may not have had a turn yet.
            std::thread::sleep(Duration::from_millis(100));
            // The sampler's own buffers grow to the vocabulary's size once.
            sampler.sample(session.logits());
            let ((), bytes) = peak_during(|| {
                for _ in 0..90 {
                    let id = sampler.sample(session.logits());
                    session.decode(id).expect("it fits");
                }
            });
            assert_eq!(bytes, 0, "{shape} {}, {threads} threads", file_type.name());
        }
    }
}
