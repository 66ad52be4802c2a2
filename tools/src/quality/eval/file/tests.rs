use super::*;
use serde_json::json;

fn read_lines(lines: &[Value], options: Options) -> Result<Task> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("t.jsonl");
    std::fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
    read(&path, options)
}

fn error(lines: &[Value]) -> String {
    crate::hint::report(&read_lines(lines, Options::default()).expect_err("an error"))
}

fn text(prompt: &Prompt) -> String {
    prompt.text().expect("a text")
}

fn turns(prompt: &Prompt) -> (Value, Value) {
    match prompt {
        Prompt::Chat { messages, tools } => (json!(messages), json!(tools)),
        Prompt::Text { .. } => panic!("expected a conversation"),
    }
}

#[test]
fn raw_prompts_with_examples() {
    let header = json!({
        "task": "capitals", "description": "Capitals.\n\n", "wrap": "Q: {prompt}\nA:", "normalize": ["lowercase"],
        "few_shot": [{"prompt": "France?", "answer": "Paris"}, {"prompt": "Italy?", "answer": "Rome"}],
        "stop": ["\n"], "max_tokens": 8
    });
    let cases = [
        json!({"prompt": "Spain?", "answer": "Madrid"}),
        json!({"prompt": "Peru?", "choices": ["Lima", "Quito"], "right": 0}),
    ];
    let lines = [header, cases[0].clone(), cases[1].clone()];
    let task = read_lines(&lines, Options::default()).unwrap();
    assert_eq!(
        (task.name.as_str(), task.cases[0].stop.to_vec(), task.max_tokens),
        ("capitals", vec!["\n".to_string()], 8)
    );
    assert_eq!(
        text(&task.cases[0].prompt),
        "Capitals.\n\nQ: France?\nA: Paris\n\nQ: Italy?\nA: Rome\n\nQ: Spain?\nA:"
    );
    assert_eq!(task.cases[0].expect.judge(" MADRID"), [super::super::Score::of("exact_match", true)]);
    let Expect::Choice(choice) = &task.cases[1].expect else { panic!("a choice") };
    assert_eq!((choice.right, choice.delimiter.as_str()), (0, " "));
    assert!(task.cases[1].place.ends_with("t.jsonl:3"));

    let one = read_lines(&lines, Options { few_shot: Some(1), ..Default::default() }).unwrap();
    assert_eq!(text(&one.cases[0].prompt), "Capitals.\n\nQ: France?\nA: Paris\n\nQ: Spain?\nA:");
    let chat = Options { template: Some(Template::Chat), few_shot: Some(1), ..Default::default() };
    let chat = read_lines(&lines, chat).unwrap();
    assert_eq!(
        turns(&chat.cases[0].prompt).0,
        json!([
            {"role": "system", "content": "Capitals."},
            {"role": "user", "content": "Q: France?\nA:"},
            {"role": "assistant", "content": "Paris"},
            {"role": "user", "content": "Q: Spain?\nA:"}
        ])
    );
    let many = read_lines(&lines, Options { few_shot: Some(3), ..Default::default() });
    let many = crate::hint::report(&many.expect_err("too many"));
    assert!(
        many.contains("3 worked examples are asked for, there are 2") && many.contains("--dev"),
        "{many}"
    );
}

#[test]
fn examples_of_a_dev_file() {
    let dir = tempfile::tempdir().unwrap();
    let dev = dir.path().join("dev.jsonl");
    std::fs::write(
        &dev,
        "{\"task\": \"dev\"}\n{\"prompt\": \"1+1\", \"answer\": [\"2\", \"two\"]}\n\
         {\"prompt\": \"1+2\", \"choices\": [\"2\", \"3\"], \"right\": 1}\n{\"prompt\": \"x\", \"calls\": []}\n",
    )
    .unwrap();
    let lines = [json!({"task": "sums", "wrap": "{prompt}="}), json!({"prompt": "2+2", "answer": "4"})];
    let shots = |count| Options { dev: Some(&dev), few_shot: Some(count), ..Default::default() };
    let refused = crate::hint::report(&read_lines(&lines, shots(2)).expect_err("a case that is no example"));
    assert!(refused.contains("dev.jsonl:4") && refused.contains("worked example"), "{refused}");
    let all = std::fs::read_to_string(&dev).unwrap();
    std::fs::write(&dev, all.split_inclusive('\n').take(3).collect::<String>()).unwrap();
    let task = read_lines(&lines, shots(2)).unwrap();
    assert_eq!(text(&task.cases[0].prompt), "1+1= 2\n\n1+2= 3\n\n2+2=");
}

#[test]
fn conversations_with_system_and_tools_in_every_second_case() {
    let tools = json!([{"name": "f"}]);
    let header =
        json!({"task": "t", "system": "Be brief.", "tools": tools, "system_every": 2, "refusal": "Sorry"});
    let messages = json!([
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "<|tool_call_start|>[f(a=\"x\", b=2.5)]<|tool_call_end|>"},
        {"role": "tool", "content": "{}"}
    ]);
    let case = json!({"kind": "k", "messages": messages, "calls": [{"name": "f", "arguments": {"a": 1}}]});
    let refused = json!({"messages": [{"role": "user", "content": "fly"}], "calls": []});
    let task = read_lines(&[header, case, refused], Options::default()).unwrap();
    let (first, first_tools) = turns(&task.cases[0].prompt);
    assert_eq!((first[0]["role"].as_str(), first_tools), (Some("user"), json!(null)));
    // Past calls reach the template as calls.
    assert_eq!(first[1]["content"], json!(""));
    let call = json!({"type": "function", "function": {"name": "f", "arguments": {"a": "x", "b": 2.5}}});
    assert_eq!(first[1]["tool_calls"], json!([call]));
    let (second, second_tools) = turns(&task.cases[1].prompt);
    assert_eq!(second[0], json!({"role": "system", "content": "Be brief."}));
    assert_eq!(second_tools, tools);
    assert!(matches!(&task.cases[1].expect, Expect::Refusal(begin) if begin == "Sorry"));
    assert_eq!((task.cases[0].kind.as_str(), task.cases[1].kind.as_str()), ("k", "case"));
}

#[test]
fn a_header_beside_the_file_serves_files_without_one() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("header.json"), r#"{"task": "shared", "max_tokens": 7}"#).unwrap();
    let path = dir.path().join("mine.jsonl");
    std::fs::write(&path, "{\"prompt\": \"a\", \"answer\": \"b\"}\n").unwrap();
    let task = read(&path, Options::default()).unwrap();
    assert_eq!((task.name.as_str(), task.max_tokens), ("mine", 7));
    std::fs::write(&path, "{\"task\": \"own\"}\n{\"prompt\": \"a\", \"answer\": \"b\"}\n").unwrap();
    let task = read(&path, Options::default()).unwrap();
    assert_eq!((task.name.as_str(), task.max_tokens), ("own", MAX_TOKENS));
}

#[test]
fn what_cannot_be_judged_names_the_line() {
    let header = json!({"task": "t"});
    for (case, says) in [
        (json!({"prompt": "a"}), "expected one of answer, calls, json, or choices with right"),
        (json!({"prompt": "a", "answer": "b", "calls": []}), "expected one of answer"),
        (json!({"prompt": "a", "answer": "b", "anwser": "b"}), "unknown field `anwser`"),
        (json!({"answer": "b"}), "expected either messages or a prompt"),
        (json!({"prompt": "a", "calls": []}), "refusal"),
        (json!({"prompt": "a", "choices": ["x"], "right": 1}), "right is 1: expected less than 1"),
        (json!({"kind": "all", "prompt": "a", "answer": "b"}), "the kind 'all'"),
        (json!({"prompt": "a ", "choices": ["x"], "right": 0}), "ends in white space"),
        (json!({"prompt": "a", "choices": ["x", ""], "right": 0}), "a choice is empty"),
        (json!({"messages": [{"role": "robot"}], "answer": "b"}), "role 'robot'"),
        (json!({"messages": [{"role": "assistant"}], "answer": "b"}), "do not end with a turn to answer"),
        (
            json!({"messages": [{"role": "assistant", "content": "<|tool_call_start|>[f("}, {"role": "user"}], "answer": "b"}),
            "a past answer: tool calls: expected",
        ),
        (json!({"messages": [], "answer": "b"}), "do not end with a turn to answer"),
        (json!({"prompt": "a", "answer": []}), "answer is empty"),
        (json!(3), "invalid type"),
    ] {
        let error = error(&[header.clone(), case.clone()]);
        assert!(error.contains("t.jsonl:2") && error.contains(says), "{case}: {error}");
        assert!(error.contains("docs/quality.md"), "{error}");
    }
    let stated = json!({"task": "t", "metric": "choice"});
    assert!(
        error(&[stated, json!({"prompt": "a", "answer": "b"})])
            .contains("metric is choice, the case is one for exact_match")
    );
    assert!(error(&[json!({"task": "t", "steps": 3})]).contains("unknown field `steps`"));
    assert!(error(&[json!({"task": "t", "system_every": 0})]).contains("system_every is 0"));
    assert!(error(&[json!({"task": "t", "wrap": "x"})]).contains("wrap has no {prompt}"));
    assert!(error(&[header]).contains("holds no cases"));
    let json_only = json!({"task": "t", "metric": "json_valid"});
    let task = read_lines(&[json_only, json!({"prompt": "a"})], Options::default()).unwrap();
    assert!(matches!(task.cases[0].expect, Expect::JsonValid));
}

/// The three sets of the demo model, with the header that the demo's own settings are in.
#[test]
fn the_demo_sets_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/demo/eval");
    for name in ["heldout", "dev", "hand"] {
        let task = read(&folder.join(format!("{name}.jsonl")), Options::default()).unwrap();
        assert_eq!((task.name.as_str(), task.max_tokens), (name, 120));
        let (second, tools) = turns(&task.cases[1].prompt);
        assert_eq!(second[0]["content"], crate::commands::demo::SYSTEM);
        assert_eq!(tools, crate::house::tools());
    }
}
