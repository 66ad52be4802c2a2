//! What a session promises: the same bits however a prompt is split (into many tokens each, or few), on however many
//! threads and beside whatever other sessions, and that going back, copying, saving and starting over lose nothing.

mod models;

use brooklet::model::ModelError;
use brooklet::{Batch, Error, Gguf, Model, Session, SessionError, SessionOptions, Take};
use brooklet_kernels::{TensorType, active, all};
use brooklet_tools::convert::FileType;
use models::{SHAPES, gguf, model};
use std::sync::Arc;

/// Ids that are in every golden vocabulary.
fn ids(n: usize) -> Vec<u32> {
    (0..n as u32).map(|i| (i * i * 7 + i * 13) % 400).collect()
}

fn session(model: &Arc<Model>, threads: usize) -> Session {
    let options = SessionOptions { threads: Some(threads), ..Default::default() };
    Session::new(model.clone(), options).expect("a session")
}

/// Every shape as float and quantized, on the kernel set in use; one shape on every set.
fn models() -> impl Iterator<Item = (String, Arc<Model>)> {
    let best = active().expect("a kernel set");
    let mut list = Vec::new();
    for shape in SHAPES {
        list.extend([(shape, FileType::BF16, best), (shape, FileType::Q4_0, best)]);
    }
    list.extend(all().into_iter().map(|kernels| ("layers", FileType::Q4_K_M, kernels)));
    list.into_iter().map(|(shape, ty, k)| (format!("{shape} {ty} {}", k.name), model(shape, ty, k)))
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|x| x.to_bits()).collect()
}

/// A few tokens that go through the model together meet other kernels than many, whose sums are taken in another order:
/// the largest difference of the logits, relative to their spread. Random weights pass on in full what a trained network
/// damps, as in golden.rs.
fn difference(ours: &[f32], expected: &[f32]) -> f32 {
    let spread =
        expected.iter().fold(f32::MIN, |m, x| m.max(*x)) - expected.iter().fold(f32::MAX, |m, x| m.min(*x));
    let differences = ours.iter().zip(expected).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |m, d| if d.is_nan() { d } else { f32::max(m, d) }) / spread
}

/// The bound on that. Measured: 5.1e-5 with float weights; 2.8e-2 with quantized ones, where an activation rounds to the
/// neighbouring integer, and 3.9e-2 with AMX, whose products of many tokens are rounded too. The median is about 1e-7 for
/// most models, and up to 8e-3 for the deepest, `layers`.
fn few_token_bound(model: &str) -> f32 {
    if model.contains("bf16") {
        7e-5
    } else if model.contains("amx") {
        4.5e-2
    } else {
        3.5e-2
    }
}

/// Takes `ids` in parts of the sizes given, over and over.
fn take(session: &mut Session, mut ids: &[u32], sizes: &[usize]) {
    for size in sizes.iter().cycle() {
        let part = ids.split_off(..(*size).min(ids.len())).expect("as many");
        session.prefill(part).expect("it fits");
        if ids.is_empty() {
            break;
        }
    }
}

#[test]
fn any_split_of_a_prompt_gives_the_same_bits_but_for_few_tokens() {
    for (name, model) in models() {
        let pass = model.pass();
        let ids = ids(pass + 50);
        let many = model.few() + 1;
        let mut whole = session(&model, 2);
        whole.prefill(&ids).expect("it fits");
        for sizes in [&[50 - many, many, pass][..], &[pass], &[pass + many, 50 - many]] {
            let mut split = session(&model, 2);
            take(&mut split, &ids, sizes);
            assert_eq!(bits(split.logits()), bits(whole.logits()), "{name}, split in {sizes:?}");
        }
        // Parts of more than a pass go in passes, and what is left of this one is a few.
        for sizes in [&[pass + 2, 20][..], &[7, 2, 30], &[1]] {
            let mut split = session(&model, 2);
            take(&mut split, &ids, sizes);
            let difference = difference(split.logits(), whole.logits());
            assert!(difference <= few_token_bound(&name), "{name}, split in {sizes:?}: {difference:e}");
        }
        let mut singly = session(&model, 2);
        take(&mut singly, &ids[..50], &[1]);
        for sizes in [&[model.few()][..], &[3, 1, 5, 4], &[2, 7, 6]] {
            let mut split = session(&model, 2);
            take(&mut split, &ids[..50], sizes);
            assert_eq!(bits(split.logits()), bits(singly.logits()), "{name}, split in {sizes:?}");
        }
    }
}

/// A prompt that is stopped between its parts leaves the session as if the parts taken had been all of it.
#[test]
fn a_prompt_stops_between_its_parts() {
    for (name, model) in models() {
        let ids = ids(2 * model.pass() + 44);
        for (low_memory, part) in [(false, model.pass()), (true, 32)] {
            let new = || {
                let options = SessionOptions { threads: Some(2), low_memory, ..SessionOptions::default() };
                Session::new(model.clone(), options).expect("a session starts")
            };
            let mut stopped = new();
            let mut asked = Vec::new();
            let taken = stopped.prefill_while(&ids, |position| {
                asked.push(position);
                position < 2 * part
            });
            assert_eq!(taken.expect("it fits"), 2 * part, "{name}");
            assert_eq!(asked, [part, 2 * part], "{name}");
            let mut whole = new();
            whole.prefill(&ids[..2 * part]).expect("it fits");
            assert_eq!(stopped.tokens(), whole.tokens(), "{name}");
            assert_eq!(bits(stopped.logits()), bits(whole.logits()), "{name}");
        }
    }
}

/// What a prompt shares with the session is kept, but for an id that the logits are computed from.
#[test]
fn goes_back_to_the_start_of_a_prompt() {
    let ids = ids(40);
    for (name, model) in models() {
        let mut session = session(&model, 1);
        session.prefill(&ids).expect("it fits");
        let mut other = ids[..30].to_vec();
        other.push((ids[30] + 1) % model.config().vocab_size as u32);
        assert_eq!(session.rollback_to_start_of(&other).expect("it fits"), 30, "{name}");
        assert_eq!(session.rollback_to_start_of(&ids[..20]).expect("it fits"), 19, "{name}");
        assert_eq!(session.tokens(), &ids[..19], "{name}");
        let long = vec![0; session.context() + 1];
        assert!(session.rollback_to_start_of(&long).is_err());
        assert!(session.rollback_to_start_of(&[]).is_err());
        assert_eq!(session.tokens(), &ids[..19], "{name}");
    }
}

/// Takes so many ids from `from` on with each session.
fn together(batch: &mut Batch, sessions: &mut [Session], ids: &[u32], sizes: &[usize]) {
    let takes = sessions.iter_mut().zip(sizes);
    let mut takes: Vec<_> = takes
        .map(|(session, size)| {
            let at = session.tokens().len();
            Take { session, ids: &ids[at..at + size] }
        })
        .collect();
    batch.step(&mut takes).expect("they fit");
}

/// Sessions at different positions that take one token and more, few in all and many: each gets what it gets alone, bit for
/// bit where that goes the same way, and what it gets in any other company of that many.
#[test]
fn sessions_taken_together_do_not_meet() {
    let ids = ids(120);
    for (name, model) in models() {
        let begin = |len: usize| {
            let mut session = session(&model, 2);
            session.prefill(&ids[..len]).expect("it fits");
            session
        };
        let starts = [2, 33, 70];
        for sizes in [[1, 1, 1], [1, 2, 5], [1, 20, 3]] {
            let mut batch = Batch::new(model.clone());
            let mut sessions = starts.map(begin);
            together(&mut batch, &mut sessions, &ids, &sizes);
            // Again, so that what was left behind is looked at too.
            together(&mut batch, &mut sessions, &ids, &sizes);
            let few = sizes.iter().sum::<usize>() <= model.few();
            for (i, (start, size)) in starts.into_iter().zip(sizes).enumerate() {
                let what = format!("{name}, session {i} of {sizes:?}");
                assert_eq!(sessions[i].tokens(), &ids[..start + 2 * size], "{what}");
                let mut alone = begin(start);
                take(&mut alone, &ids[start..start + 2 * size], &[size]);
                if few == (size <= model.few()) {
                    assert_eq!(bits(sessions[i].logits()), bits(alone.logits()), "{what}");
                } else {
                    let difference = difference(sessions[i].logits(), alone.logits());
                    assert!(difference <= few_token_bound(&name), "{what}: off by {difference:e}");
                }
                let others = if few { 1 } else { model.few() };
                let mut company = vec![begin(start)];
                company.extend((0..others).map(|_| begin(5)));
                let mut company_sizes = vec![size];
                company_sizes.resize(company.len(), 1);
                let mut other = Batch::new(model.clone());
                together(&mut other, &mut company, &ids, &company_sizes);
                together(&mut other, &mut company, &ids, &company_sizes);
                assert_eq!(bits(sessions[i].logits()), bits(company[0].logits()), "{what}");
            }
        }
    }
}

/// More tokens in all than go at once, with the second session's cut in two.
#[test]
fn a_long_step_goes_in_passes() {
    let (_, model) = models().next().expect("models");
    let n = model.pass() - 28;
    let ids = ids(n);
    let mut alone = session(&model, 2);
    alone.prefill(&ids).expect("it fits");
    let mut sessions = [session(&model, 2), session(&model, 2)];
    together(&mut Batch::new(model.clone()), &mut sessions, &ids, &[n, n]);
    for session in &sessions {
        assert_eq!((session.tokens(), bits(session.logits())), (&ids[..], bits(alone.logits())));
    }
}

#[test]
fn a_batch_takes_all_or_none() {
    let (_, first) = models().next().expect("models");
    let (_, second) = models().nth(1).expect("models");
    let mut a = session(&first, 1);
    let mut batch = Batch::new(first.clone());
    batch.step(&mut []).expect("nothing to do");
    for (model, ids, expected) in [
        (&first, &[][..], "no tokens"),
        (&first, &[u32::MAX], "out of range"),
        (&second, &[1], "session 1 of a batch is of another model"),
    ] {
        let mut b = session(model, 1);
        let mut takes = [Take { session: &mut a, ids: &[1, 2] }, Take { session: &mut b, ids }];
        let error = batch.step(&mut takes).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
        assert!(a.tokens().is_empty() && b.tokens().is_empty());
    }
}

#[test]
fn prefill_each_gives_what_token_by_token_does() {
    let ids = ids(140);
    for (name, model) in models() {
        let (mut each, mut single) = (session(&model, 2), session(&model, 1));
        let mut seen = 0;
        each.prefill_each(&ids, |i, logits| {
            let difference = difference(logits, single.decode(ids[i]).expect("it fits"));
            assert!(difference <= few_token_bound(&name), "{name}, position {i}: {difference:e}");
            seen += 1;
        })
        .expect("it fits");
        assert_eq!(seen, ids.len());
    }
}

/// Where the last position's logits alone are wanted, the last layers leave most tokens out.
#[test]
fn logits_of_one_position_or_of_each_leave_the_same_bits() {
    for (name, model) in models() {
        for n in [140, 12, 3, 2] {
            let ids = ids(n);
            let (mut each, mut last) = (session(&model, 2), session(&model, 2));
            each.prefill_each(&ids, |_, _| ()).expect("it fits");
            last.prefill(&ids).expect("it fits");
            for next in [5, 6] {
                assert_eq!(bits(last.logits()), bits(each.logits()), "{name}, {n} tokens");
                each.decode(next).expect("it fits");
                last.decode(next).expect("it fits");
            }
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let ids = ids(70);
    for (name, model) in models() {
        let run = |threads| {
            let mut session = session(&model, threads);
            session.prefill(&ids).expect("it fits");
            for id in [5, 6, 7] {
                session.decode(id).expect("it fits");
            }
            bits(session.logits())
        };
        let one = run(1);
        for threads in [2, 3, 5] {
            assert_eq!(run(threads), one, "{name}, {threads} threads");
        }
    }
}

#[test]
fn a_reset_session_equals_a_fresh_one() {
    for (name, model) in models() {
        let mut used = session(&model, 2);
        used.prefill(&ids(90)).expect("it fits");
        used.reset();
        assert!(used.tokens().is_empty());
        let mut fresh = session(&model, 2);
        let again = &ids(33)[3..];
        assert_eq!(
            bits(used.prefill(again).expect("it fits")),
            bits(fresh.prefill(again).expect("it fits")),
            "{name}"
        );
    }
}

#[test]
fn a_rollback_equals_never_having_gone_on() {
    for (name, model) in models() {
        let pass = model.pass();
        let ids = ids(pass + 32);
        let mut session = session(&model, 2);
        for len in [0, 1, 2, 5, 37, pass + 3, pass + 31] {
            session.reset();
            let mut expected = vec![vec![0.0; model.config().vocab_size]];
            if len > 0 {
                expected = vec![session.prefill(&ids[..len]).expect("it fits").to_vec()];
            }
            expected.push(session.prefill(&[9, 8]).expect("it fits").to_vec());
            expected.push(session.decode(7).expect("it fits").to_vec());

            session.reset();
            session.prefill(&ids).expect("it fits");
            session.rollback(len).expect("it was there");
            assert_eq!(session.tokens(), &ids[..len]);
            for (i, expected) in expected.iter().enumerate() {
                match i {
                    0 => {}
                    1 => _ = session.prefill(&[9, 8]).expect("it fits"),
                    _ => _ = session.decode(7).expect("it fits"),
                }
                // The first time, what is left of passes may be a few tokens.
                if len > 0 && len % pass <= model.few() {
                    let difference = difference(session.logits(), expected);
                    assert!(difference <= few_token_bound(&name), "{name}, back to {len}: {difference:e}");
                } else {
                    assert_eq!(bits(session.logits()), bits(expected), "{name}, back to {len}, then {i}");
                }
            }
        }
        let held = session.tokens().len();
        let error = session.rollback(held + 1).expect_err("it was not there");
        assert!(matches!(error, Error::Session(SessionError::Rollback { .. })), "{error}");
    }
}

#[test]
fn holding_ids_keeps_the_common_start() {
    let model = model("layers", FileType::Q4_0, all()[0]);
    let pass = model.pass();
    let n = 2 * pass + 44;
    let ids = ids(n);
    let fresh = |ids: &[u32]| {
        let mut session = session(&model, 2);
        session.prefill(ids).expect("it fits");
        bits(session.logits())
    };
    let mut held = session(&model, 2);
    let mut pieces = Vec::new();
    let kept = held.hold(&ids, |taken, all| {
        pieces.push((taken, all));
        true
    });
    assert_eq!((kept.unwrap(), &pieces[..]), (Some(0), &[(pass, n), (2 * pass, n)][..]));
    assert_eq!(bits(held.logits()), fresh(&ids));
    let other = [&ids[..200], &[5; 20]].concat();
    for (wanted, common) in [(&other[..], 200), (&other[..100], 100), (&other[..100], 100)] {
        assert_eq!(held.hold(wanted, |_, _| true).unwrap(), Some(common));
        assert_eq!(held.tokens(), wanted);
        assert_eq!(bits(held.logits()), fresh(wanted), "{common}");
    }
    assert!(held.hold(&[], |_, _| true).is_err() && held.hold(&[u32::MAX], |_, _| true).is_err());
    assert_eq!(held.tokens(), &other[..100]);

    let mut stopped = session(&model, 2);
    assert_eq!(stopped.hold(&ids, |taken, _| taken < 2 * pass).unwrap(), None);
    assert_eq!(stopped.tokens(), &ids[..2 * pass]);
    assert_eq!(stopped.hold(&ids, |_, _| true).unwrap(), Some(2 * pass));
    assert_eq!(bits(stopped.logits()), fresh(&ids));
}

#[test]
fn a_fork_goes_on_by_itself() {
    for (name, model) in models() {
        let mut parent = session(&model, 2);
        parent.prefill(&ids(50)).expect("it fits");
        let mut child = parent.fork().expect("there is memory");
        child.prefill(&[1, 2, 3]).expect("it fits");
        assert_eq!(parent.tokens().len(), 50);
        assert_eq!(
            bits(parent.prefill(&[1, 2, 3]).expect("it fits")),
            bits(child.logits()),
            "{name}: the child changed the parent"
        );
    }
}

#[test]
fn a_saved_session_goes_on_as_if_it_had_not_stopped() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("session");
    for (name, model) in models() {
        let mut session = session(&model, 2);
        session.prefill(&ids(75)).expect("it fits");
        session.save(&path).expect("it saves");
        let mut loaded = self::session(&model, 1);
        loaded.prefill(&[3, 4]).expect("it fits");
        loaded.load(&path).expect("it loads");
        assert_eq!(loaded.tokens(), session.tokens());
        assert_eq!(bits(loaded.logits()), bits(session.logits()), "{name}");
        assert_eq!(
            bits(loaded.prefill(&[11, 12]).expect("it fits")),
            bits(session.prefill(&[11, 12]).expect("it fits")),
            "{name}"
        );
    }
    let left: Vec<_> = std::fs::read_dir(dir.path()).expect("it is there").collect();
    assert_eq!(left.len(), 1, "only the session is left: {left:?}");
}

/// What the tests above hold F16 to, the default, in short.
#[test]
fn every_storage_of_keys_and_values_keeps_the_promises() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("session");
    let ids = ids(150);
    for kv_type in [TensorType::F32, TensorType::Q8_0] {
        for (name, model) in models() {
            let new = |threads| {
                let options = SessionOptions { kv_type, threads: Some(threads), ..Default::default() };
                Session::new(model.clone(), options).expect("a session")
            };
            let mut whole = new(2);
            let expected = bits(whole.prefill(&ids).expect("it fits"));
            let mut split = new(1);
            split.prefill(&ids[..31]).expect("it fits");
            split.prefill(&ids[31..70]).expect("it fits");
            split.save(&path).expect("it saves");
            assert_eq!(
                bits(split.prefill(&ids[70..]).expect("it fits")),
                expected,
                "{name}, {kv_type}, split"
            );
            let mut other = new(3);
            other.load(&path).expect("it loads");
            let mut fork = other.fork().expect("there is memory");
            assert_eq!(
                bits(other.prefill(&ids[70..]).expect("it fits")),
                expected,
                "{name}, {kv_type}, loaded"
            );
            whole.rollback(70).expect("it was there");
            assert_eq!(bits(whole.logits()), bits(fork.logits()), "{name}, {kv_type}, back");
            assert_eq!(
                bits(fork.prefill(&ids[70..]).expect("it fits")),
                bits(whole.prefill(&ids[70..]).expect("it fits")),
                "{name}, {kv_type}, fork and rollback"
            );
        }
    }
}

#[test]
fn a_session_that_does_not_fit_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("session");
    let kernels = active().expect("a kernel set");
    let model = model("official", FileType::Q8_0, kernels);
    let mut saved = session(&model, 1);
    saved.prefill(&ids(20)).expect("it fits");
    saved.save(&path).expect("it saves");
    let good = std::fs::read(&path).expect("it is there");

    let refused = |session: &mut Session, bytes: &[u8], what: &str| {
        std::fs::write(&path, bytes).expect("it writes");
        session.prefill(&[1, 2]).expect("it fits");
        let before = (session.tokens().to_vec(), bits(session.logits()));
        let error = session.load(&path).expect_err(what).to_string();
        assert!(error.contains(what), "{error}, which lacks '{what}'");
        assert_eq!((session.tokens().to_vec(), bits(session.logits())), before);
    };
    let mut s = session(&model, 1);
    refused(&mut s, &good[..10], "10 bytes");
    refused(&mut s, &good[..good.len() - 1], &format!("{} bytes", good.len()));
    refused(&mut s, &[&good[..], &[0]].concat(), &format!("{} bytes", good.len() + 1));
    refused(&mut s, b"GGUF....................", "something else");
    let with = |at: usize, value: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    refused(&mut s, &with(16, 999), "an unknown type");
    refused(&mut s, &with(20, u32::MAX), "at most");
    refused(&mut s, &with(20, 21), "bytes");
    refused(&mut s, &with(24, 100_000), "100000");
    let mut other = session(&self::model("official", FileType::Q4_0, kernels), 1);
    refused(&mut other, &good, "another model");
    let options = SessionOptions { kv_type: TensorType::F32, ..Default::default() };
    let mut f32 = Session::new(model.clone(), options).expect("a session");
    refused(&mut f32, &good, "F32");
}

#[test]
fn bad_requests_are_refused_and_change_nothing() {
    let model = model("odd", FileType::F16, active().expect("a kernel set"));
    let options = |context| SessionOptions { context: Some(context), ..Default::default() };
    for context in [0, 513, usize::MAX] {
        let error = Session::new(model.clone(), options(context)).err().expect("no such context");
        assert!(error.to_string().contains("1 to 512"), "{error}");
    }
    let kv_type = SessionOptions { kv_type: TensorType::Q6_K, ..Default::default() };
    let error = Session::new(model.clone(), kv_type).err().expect("no such storage");
    assert!(error.to_string().contains("Q6_K"), "{error}");

    let mut session = Session::new(model, options(10)).expect("a session");
    session.prefill(&[1, 2, 3]).expect("it fits");
    let before = bits(session.logits());
    for (ids, what) in [
        (vec![], "at least one"),
        (vec![1, 420], "token id 420"),
        (vec![u32::MAX], "out of range"),
        (vec![1; 8], "11 tokens do not fit a context of 10"),
    ] {
        let error = session.prefill(&ids).expect_err(what).to_string();
        assert!(error.contains(what), "{error}");
        assert_eq!((session.tokens(), bits(session.logits())), (&[1, 2, 3][..], before.clone()));
    }
    session.prefill(&[1; 7]).expect("it fits to the last position");
}

#[test]
fn the_default_context_is_the_models_up_to_4096() {
    let model = model("official", FileType::F16, active().expect("a kernel set"));
    assert_eq!(session(&model, 1).context(), 2048);
    assert!(gguf("official", FileType::F16).exists());
}

/// With all matrices of another file the logits are that file's, to the bit, with some neither's; a file of another shape
/// is refused.
#[test]
fn matrices_of_another_file_take_the_places_of_a_models() {
    for shape in SHAPES {
        let open = |ty| Model::open(&gguf(shape, ty)).expect("it opens");
        let other = || Gguf::open(&gguf(shape, FileType::Q4_0)).expect("it opens");
        let logits = |model: Model| {
            let mut session = session(&Arc::new(model), 2);
            bits(session.prefill(&ids(40)).expect("it fits"))
        };
        let all: Vec<String> = other().tensors().iter().map(|t| t.name.clone()).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let (float, quantized) = (logits(open(FileType::F32)), logits(open(FileType::Q4_0)));
        let with =
            |names: &[&str]| logits(open(FileType::F32).with_matrices(other(), names).expect("it fits"));
        assert!(with(&all) == quantized && with(&[]) == float, "{shape}");
        let name = "blk.1.ffn_down.weight";
        // Rows of another shape than whole blocks stay floats.
        if other().tensor(name).expect("it is there").info.ty.is_quantized() {
            let one = with(&[name]);
            assert!(one != quantized && one != float, "{shape}");
        }
    }
    let other = Gguf::open(&gguf("wide", FileType::Q4_0)).expect("it opens");
    let refused = Model::open(&gguf("layers", FileType::F32)).expect("it opens").with_matrices(other, &[]);
    assert!(matches!(refused, Err(Error::Model(ModelError::OtherShape))));
}
