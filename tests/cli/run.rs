use crate::support::{
    Finished, argmax, brooklet, convert, copy_checkpoint, floats, ids, join, json, model, stdout, stdout_of,
};

const GREEDY: [&str; 4] = ["--temp", "0", "--repeat-penalty", "1"];

fn run<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["run", "-m", model()], args].concat()
}

#[test]
fn raw_greedy_text_is_the_likeliest_token_each_time() {
    let args = run(&["--raw", "-p", "Hello", "-n", "6", "--ignore-eos", "--json", "--kv-type", "f32"]);
    let out = json([args, GREEDY.to_vec()].concat());
    let mut sequence = ids(&json(["tokenize", "-m", model(), "Hello"]));
    assert_eq!(out["prompt_tokens"], sequence.len());
    assert_eq!(out["completion_tokens"], 6);
    assert_eq!(out["stop"], "length");
    for id in ids(&out["ids"]) {
        let logits = json(["logits", "-m", model(), "--ids", &join(&sequence), "--kv-type", "f32"]);
        assert_eq!(id, argmax(&floats(&logits["logits"])), "after {sequence:?}");
        sequence.push(id);
    }
}

#[test]
fn stdout_carries_the_answer_and_a_newline_and_nothing_else() {
    let args = run(&["-p", "Hello", "-n", "12", "--seed", "7", "--temp", "1"]);
    let finished = Finished::of(&mut brooklet(&args));
    let text = json([&args[..], &["--json"]].concat())["text"].as_str().unwrap().to_string();
    assert_eq!(finished.code, Some(0));
    assert_eq!(finished.stdout, format!("{text}\n"));
    assert_eq!(finished.stderr, "");
}

#[test]
fn verbose_says_settings_and_speed_on_stderr() {
    let args = run(&["-p", "Hello", "-n", "4", "--seed", "7", "--verbose", "--top-k", "5", "--ignore-eos"]);
    let finished = Finished::of(&mut brooklet(args));
    // The authors' defaults where neither file nor command line says otherwise.
    for words in ["--temp 0.3", "--min-p 0.15", "--repeat-penalty 1.05", "--top-k 5", "--seed 7", "tokens/s"]
    {
        assert!(finished.stderr.contains(words), "{words}: {finished:?}");
    }
}

#[test]
fn the_files_settings_come_before_the_authors_and_after_the_command_lines() {
    let dir = tempfile::tempdir().unwrap();
    copy_checkpoint(dir.path());
    let settings =
        r#"{"bos_token_id": 1, "eos_token_id": [7], "temperature": 0.75, "top_k": 40, "min_p": 0.5}"#;
    std::fs::write(dir.path().join("generation_config.json"), settings).unwrap();
    let gguf = dir.path().join("own.gguf");
    convert(dir.path(), gguf.to_str().unwrap());
    let args = ["run", "-m", gguf.to_str().unwrap(), "-p", "a", "-n", "1", "--verbose", "--min-p", "0.25"];
    let said = Finished::of(&mut brooklet(args)).stderr;
    for words in ["--temp 0.75", "--top-k 40", "--min-p 0.25", "--repeat-penalty 1.05"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn the_same_seed_gives_the_same_text_on_any_number_of_threads() {
    let answer = |seed: &str, threads: &str| {
        stdout(run(&["-p", "Hi", "-n", "24", "--temp", "1.5", "--min-p", "0", "--seed", seed, "-t", threads]))
    };
    let text = answer("1", "1");
    assert_eq!(text, answer("1", "2"));
    assert_eq!(text, answer("1", "3"));
    assert_ne!(text, answer("2", "1"));
}

#[test]
fn the_prompt_comes_from_an_option_a_file_or_standard_input() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("prompt.txt");
    std::fs::write(&file, "tell me\n").unwrap();
    let greedy = |args: &[&str]| {
        [&run(&["-n", "8"]), &GREEDY[..], args].concat().iter().map(|s| s.to_string()).collect::<Vec<_>>()
    };
    let expected = stdout(greedy(&["-p", "tell me"]));
    assert_eq!(stdout(greedy(&["-f", file.to_str().unwrap()])), expected);
    assert_eq!(stdout_of(brooklet(greedy(&[])).write_stdin("tell me\n")), expected);
    assert_eq!(stdout_of(brooklet(greedy(&["-f", "-"])).write_stdin("tell me")), expected);
}

#[test]
fn a_stop_text_ends_the_answer_and_is_not_part_of_it() {
    let base = [&run(&["--raw", "-p", "Hello", "-n", "40", "--ignore-eos", "--json"])[..], &GREEDY].concat();
    let whole = json(&base);
    let text: Vec<char> = whole["text"].as_str().unwrap().chars().collect();
    let stop: String = text[text.len() / 2..text.len() / 2 + 2].iter().collect();
    let cut = json([&base[..], &["--stop", "never said", "--stop", &stop]].concat());
    assert_eq!(cut["stop"], "stop");
    let expected = whole["text"].as_str().unwrap().split_once(&stop).unwrap().0;
    assert_eq!(cut["text"], expected);
}

#[test]
fn no_new_tokens_are_no_text() {
    assert_eq!(stdout(run(&["-p", "Hello", "-n", "0"])), "\n");
}

#[test]
fn generation_ends_at_eos_unless_ignored() {
    // The fixture rarely ends by itself, so look for a seed that does.
    let base = run(&["-p", "x", "-n", "60", "--temp", "3", "--min-p", "0", "--json"]);
    let ended = (0..60).map(|seed| seed.to_string()).find_map(|seed| {
        let out = json([&base[..], &["--seed", &seed]].concat());
        (out["stop"] == "eos").then_some((seed, out))
    });
    let (seed, out) = ended.expect("one of 60 answers ends");
    assert!(!ids(&out["ids"]).contains(&7));
    let on = json([&base[..], &["--seed", &seed, "--ignore-eos"]].concat());
    assert_eq!(on["stop"], "length");
    let kept = ids(&out["ids"]);
    assert_eq!(ids(&on["ids"])[..kept.len()], kept);
}

#[test]
fn a_full_context_cuts_the_answer_and_says_so() {
    let args = run(&["--raw", "-p", "Hello there", "-c", "32", "--ignore-eos", "--temp", "0"]);
    let finished = Finished::of(&mut brooklet(&args));
    assert_eq!(finished.code, Some(0));
    assert!(finished.stderr.contains("context of 32 tokens is full"), "{finished:?}");
    let out = json([&args[..], &["--json"]].concat());
    assert_eq!(out["stop"], "context");
    // The last id was drawn from the last position and needs none of its own.
    assert_eq!(out["prompt_tokens"].as_u64().unwrap() + out["completion_tokens"].as_u64().unwrap(), 33);
}

#[test]
fn messages_system_and_tools_make_the_prompt_that_template_prints() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_string()
    };
    let messages = path("talk.json", r#"[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]"#);
    let tools = path("tools.json", r#"[{"name":"f","parameters":{"type":"object"}}]"#);
    let options = ["--messages", &messages, "--tools", &tools, "--system", "be brief", "-p", "c", "--json"];
    let template = json([&["template", "-m", model()], &options[..]].concat());
    let out = json([&run(&["-n", "1"])[..], &options].concat());
    assert_eq!(out["prompt_tokens"], ids(&template["ids"]).len());
}

/// A prompt longer than one piece of prefill.
#[test]
fn long_prompts_are_taken_whole() {
    let prompt = "word ".repeat(200);
    let args = [&run(&["--raw", "-p", &prompt, "-n", "3", "--ignore-eos", "--json"])[..], &GREEDY].concat();
    let out = json(&args);
    let sequence = ids(&json(["tokenize", "-m", model(), &prompt]));
    assert!(sequence.len() > 512, "{}", sequence.len());
    assert_eq!(out["prompt_tokens"], sequence.len());
    let first = ids(&out["ids"])[0];
    let logits = floats(&json(["logits", "-m", model(), "--ids", &join(&sequence)])["logits"]);
    assert_eq!(first, argmax(&logits));
}
