//! `brooklet eval` on the shipped model.

use brooklet::{Model, Session, SessionOptions, Tokenizer};
use brooklet_kernels::TensorType;
use brooklet_tools::convert::{self, FileType, Options};
use brooklet_tools::quality::eval::choice::Choice;
use brooklet_tools::quality::eval::file;
use brooklet_tools::quality::eval::run::Runner;
use brooklet_tools::quality::eval::{Case, Expect, Prompt};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use tempfile::TempDir;

/// A folder with demo.gguf, the shipped model in float32.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { file_type: FileType::F32, ..Options::default() };
    convert::convert(&root().join("models/demo"), &folder.path().join("demo.gguf"), &options).unwrap();
    folder
});

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn model() -> PathBuf {
    FOLDER.path().join("demo.gguf")
}

fn runner() -> Runner {
    let model = Arc::new(Model::open(&model()).unwrap());
    let tokenizer = Arc::new(Tokenizer::from_gguf(model.gguf()).unwrap());
    let options = SessionOptions { kv_type: TensorType::F32, threads: Some(2), ..Default::default() };
    Runner::new(Session::new(model, options).unwrap(), tokenizer)
}

/// Against transformers in float32: tests/fixtures/eval/make.py. In both orders: what the session holds of the prompt
/// before changes nothing.
#[test]
fn log_likelihoods_of_choices_equal_transformers() {
    let fixtures = root().join("tests/fixtures/eval");
    let task = file::read(&fixtures.join("choices.jsonl"), file::Options::default()).unwrap();
    let text = std::fs::read_to_string(fixtures.join("log_likelihoods.json")).unwrap();
    let expected: Vec<Vec<f64>> = serde_json::from_str(&text).unwrap();
    assert_eq!(task.cases.len(), expected.len());
    let mut runner = runner();
    let mut found = Vec::new();
    for index in (0..expected.len()).chain((0..expected.len()).rev()) {
        let case = &task.cases[index];
        let Expect::Choice(choice) = &case.expect else { panic!("{} is no choice", case.place) };
        let prompt = runner.ids(&case.prompt).unwrap();
        let sums = runner.log_likelihoods(case, choice, &prompt).unwrap();
        for (sum, expected) in sums.iter().zip(&expected[index]) {
            // Measured: 3.5e-7 with AVX2, 7.6e-7 portable, 1.2e-6 scalar.
            let off = (sum - expected).abs();
            assert!(
                off < 1.5e-6 * expected.abs().max(10.0),
                "{}: {sum}, not {expected}, off by {off:.1e}",
                case.place
            );
        }
        found.push(sums);
    }
    let back = found.split_off(expected.len());
    assert!(found.iter().eq(back.iter().rev()), "{found:?} in order, {back:?} backwards");
}

/// The next prompt holds the answer to the one before, as a conversation does: what was taken token by token is taken anew.
#[test]
fn an_answer_does_not_depend_on_the_prompt_before() {
    let mut runner = runner();
    let text = "Turn on the kitchen light at 40 percent, please. ".repeat(14);
    let question = |question: String| Prompt::Text { description: "".into(), examples: "".into(), question };
    let first = runner.ids(&question(text.clone())).unwrap();
    let answer = runner.generate(&first, &[], 150).unwrap();
    let pass = Model::open(&model()).unwrap().pass();
    assert!(!first.len().is_multiple_of(pass) && answer.ids.len() == 150, "{} ids, {answer:?}", first.len());
    let second = [&first[..], &answer.ids].concat();
    let choice = Choice { choices: vec!["the light".into(), "off".into()], right: 0, delimiter: " ".into() };
    let case = Case {
        place: "here".into(),
        kind: "kind".into(),
        prompt: Prompt::Chat { messages: vec![], tools: None },
        stop: [].into(),
        expect: Expect::JsonValid,
    };
    let after = runner.log_likelihoods(&case, &choice, &second).unwrap();
    let alone = self::runner().log_likelihoods(&case, &choice, &second).unwrap();
    assert_eq!(after, alone);
}

fn eval(args: &[&str]) -> String {
    let mut command = assert_cmd::Command::cargo_bin("brooklet").unwrap();
    let output =
        command.arg("eval").arg("-m").arg(model()).args(args).assert().success().get_output().clone();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_sets_of_the_demo_are_judged() {
    let task = root().join("models/demo/eval/hand.jsonl");
    let task = task.to_str().unwrap();
    let results: Value =
        serde_json::from_str(&eval(&["--task", task, "--limit", "2", "--json", "--show"])).unwrap();
    let report = &results["tasks"][0];
    assert_eq!((&report["task"], &report["cases"]), (&"hand".into(), &18.into()));
    let rows = report["results"].as_array().unwrap();
    let (all, kinds) = rows.split_last().unwrap();
    assert_eq!((kinds.len(), &all["kind"]), (9, &"all".into()));
    let sum = |key: &str| kinds.iter().map(|row| row[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!((all["right"].as_u64(), all["of"].as_u64()), (Some(sum("right")), Some(18)));
    let right = sum("right");
    // It answers 97 % of all 200 exactly.
    assert!(right >= 15, "{results}");
    let wrong = report["wrong"].as_array().map_or(0, Vec::len);
    assert_eq!(wrong as u64, 18 - right, "{results}");

    let table = eval(&["--task", task, "--limit", "2"]);
    let last = table.lines().last().unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(last[..4], ["all", "exact_match", &right.to_string(), "18"], "{table}");
    assert!(table.starts_with("hand: 18 cases of ") && !table.contains("want"), "{table}");
}

#[test]
fn choices_are_judged_by_likelihood() {
    let task = root().join("tests/fixtures/eval/choices.jsonl");
    let results: Value = serde_json::from_str(&eval(&["--task", task.to_str().unwrap(), "--json"])).unwrap();
    let rows = results["tasks"][0]["results"].as_array().unwrap();
    let counts: Vec<_> =
        rows[3..].iter().map(|row| (row["metric"].as_str().unwrap(), row["right"].as_u64())).collect();
    // From log_likelihoods.json: the likeliest are 2, 2, 0, 1, 0; a character and a byte 0, 2, 2, 1, 0. Right are
    // 1, 0, 2, 1, 0.
    assert_eq!(counts, [("acc", Some(2)), ("acc_norm", Some(3)), ("acc_bytes", Some(3))]);
}

#[test]
fn a_prompt_too_long_names_the_case() {
    let mut command = assert_cmd::Command::cargo_bin("brooklet").unwrap();
    let task = root().join("tests/fixtures/eval/choices.jsonl");
    command.args(["eval", "-c", "64", "-m"]).arg(model()).arg("--task").arg(task);
    let output = command.assert().code(1).get_output().clone();
    let error = String::from_utf8(output.stderr).unwrap();
    for says in ["choices.jsonl:6", "do not fit a context of 64", "-c"] {
        assert!(error.contains(says), "{says} is missing in {error}");
    }
}

/// One case of each layout, from data to table.
#[test]
fn public_layouts_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    file("mmlu/test/astronomy_test.csv", "Which is a star?,Moon,Sun,Mars,Venus,B\n");
    file("mmlu/dev/astronomy_dev.csv", "Which is a moon?,Moon,Sun,Mars,Venus,A\n");
    file("gsm8k/test.jsonl", "{\"question\": \"1+1?\", \"answer\": \"#### 2\"}\n");
    let instructions =
        r#""instruction_id_list": ["punctuation:no_comma", "startend:quotation"], "kwargs": [{}, {}]"#;
    file("input_data.jsonl", &format!("{{\"key\": 1, \"prompt\": \"Lights on\", {instructions}}}\n"));
    let rows = |format: &str, data: &str, few_shot: &str| {
        let data = folder.path().join(data);
        let args = ["--format", format, "--data", data.to_str().unwrap(), "--few-shot", few_shot, "--json"];
        let results: Value =
            serde_json::from_str(&eval(&[&args[..], &["--max-tokens", "40"]].concat())).unwrap();
        let rows = results["tasks"][0]["results"].as_array().unwrap().clone();
        rows.iter()
            .map(|row| {
                format!("{} {} {}", row["kind"].as_str().unwrap(), row["metric"].as_str().unwrap(), row["of"])
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(rows("mmlu", "mmlu", "1"), ["astronomy acc 1", "all acc 1"]);
    let metrics = ["strict_match 1", "flexible_extract 1"];
    let expected: Vec<_> =
        ["gsm8k", "all"].iter().flat_map(|kind| metrics.map(|m| format!("{kind} {m}"))).collect();
    assert_eq!(rows("gsm8k", "gsm8k", "0"), expected);
    let metrics = ["prompt_strict 1", "instruction_strict 2", "prompt_loose 1", "instruction_loose 2"];
    let expected: Vec<_> =
        ["ifeval", "all"].iter().flat_map(|kind| metrics.map(|m| format!("{kind} {m}"))).collect();
    assert_eq!(rows("ifeval", "input_data.jsonl", "0"), expected);
}

#[test]
fn no_task_says_how_to_name_one() {
    let mut command = assert_cmd::Command::cargo_bin("brooklet").unwrap();
    let output = command.args(["eval", "-m"]).arg(model()).assert().code(1).get_output().clone();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("no task is given") && error.contains("--task FILE"), "{error}");
}
