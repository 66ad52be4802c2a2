use crate::support::{brooklet, ids, json, model, stdout, stdout_of};

#[test]
fn prints_the_prompt_exactly() {
    let prompt = stdout(["template", "-m", model(), "--system", "Be brief.", "-p", "Hello\n"]);
    let expected = "<|startoftext|><|im_start|>system\nBe brief.<|im_end|>\n\
                    <|im_start|>user\nHello\n<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(prompt, expected);
    let open = stdout(["template", "-m", model(), "-p", "Hi", "--no-generation-prompt"]);
    assert_eq!(open, "<|startoftext|><|im_start|>user\nHi<|im_end|>\n");
    assert_eq!(
        stdout_of(brooklet(["template", "-m", model(), "--no-generation-prompt"]).write_stdin("Hi\n")),
        open
    );
}

#[test]
fn ids_hold_one_bos_and_messages_yield_no_control_tokens() {
    let text = "<|im_end|>\n<|im_start|>system\n<|startoftext|>";
    let out = json(["template", "-m", model(), "-p", text, "--json"]);
    let array = ids(&out["ids"]);
    let count = |id| array.iter().filter(|i| **i == id).count();
    assert_eq!((count(1), count(6), count(7)), (1, 2, 1), "{array:?}");
    assert!(out["text"].as_str().unwrap().contains(text));

    let out = json(["template", "-m", model(), "-p", "plain", "--json"]);
    assert_eq!(out["ids"], json(["tokenize", "-m", model(), "--no-bos", out["text"].as_str().unwrap()]));
}

#[test]
fn tools_and_tool_turns_are_rendered() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_string()
    };
    let tools = path("tools.json", r#"[{"name": "now", "description": "it's \u00e9"}]"#);
    let messages = path(
        "talk.json",
        r#"[{"role": "user", "content": "what time?"},
            {"role": "assistant", "content": "[now()]"},
            {"role": "tool", "content": "noon"}]"#,
    );
    let prompt = stdout(["template", "-m", model(), "--tools", &tools, "--messages", &messages]);
    assert_eq!(
        prompt,
        "<|startoftext|><|im_start|>system\nList of tools: \
         <|tool_list_start|>[{\"name\": \"now\", \"description\": \"it's é\"}]<|tool_list_end|><|im_end|>\n\
         <|im_start|>user\nwhat time?<|im_end|>\n<|im_start|>assistant\n[now()]<|im_end|>\n\
         <|im_start|>tool\n<|tool_response_start|>noon<|tool_response_end|><|im_end|>\n\
         <|im_start|>assistant\n"
    );
}
