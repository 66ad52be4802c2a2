use crate::support::{brooklet, ids, json, model, stdout, stdout_of};

const BOS: u32 = 1;
const IM_START: u32 = 6;
const IM_END: u32 = 7;

#[test]
fn prints_a_compact_array_on_one_line() {
    let line = stdout(["tokenize", "-m", model(), "Hello, world"]);
    let array: Vec<u32> = serde_json::from_str(&line).unwrap();
    assert_eq!(line, format!("{}\n", serde_json::to_string(&array).unwrap()));
    assert!(!line.contains(' '));
    assert_eq!(array[0], BOS);
}

#[test]
fn no_bos_leaves_out_only_the_bos() {
    let with = ids(&json(["tokenize", "-m", model(), "Hello, wörld 你好 🙂"]));
    let without = ids(&json(["tokenize", "-m", model(), "--no-bos", "Hello, wörld 你好 🙂"]));
    assert_eq!(with[0], BOS);
    assert_eq!(with[1..], without);
    assert!(!without.contains(&BOS));
}

#[test]
fn special_tokens_are_parsed_and_bos_is_not_doubled() {
    let array = ids(&json(["tokenize", "-m", model(), "--no-bos", "<|im_start|><|im_end|>"]));
    assert_eq!(array, [IM_START, IM_END]);
    let array = ids(&json(["tokenize", "-m", model(), "<|startoftext|><|im_start|>"]));
    assert_eq!(array, [BOS, IM_START]);
}

#[test]
fn standard_input_is_taken_as_it_is() {
    let piped = stdout_of(brooklet(["tokenize", "-m", model()]).write_stdin("two\nlines\n"));
    assert_eq!(piped, stdout(["tokenize", "-m", model(), "two\nlines\n"]));
    assert_ne!(piped, stdout(["tokenize", "-m", model(), "two\nlines"]));
    assert_eq!(stdout_of(brooklet(["tokenize", "-m", model(), "--no-bos"]).write_stdin("")), "[]\n");
}

#[test]
fn a_text_that_begins_with_a_dash_comes_after_two() {
    let array = ids(&json(["tokenize", "-m", model(), "--no-bos", "--", "-5"]));
    assert!(!array.is_empty());
}
