use crate::support::{Finished, brooklet, ids, json, model};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

fn chat(args: &[&str], lines: &str) -> Finished {
    let base = ["chat", "-m", model(), "--seed", "5", "-n", "8"];
    Finished::of(brooklet([&base[..], args].concat()).write_stdin(lines))
}

fn prompt_tokens(stderr: &str) -> Vec<usize> {
    let figure = |line: &str| line.strip_prefix("prompt ")?.split(' ').next()?.parse().ok();
    stderr.lines().filter_map(figure).collect()
}

#[test]
fn each_line_is_a_turn_and_only_the_new_ids_are_computed() {
    let finished = chat(&[], "Hello there\nAnd then what?\n");
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let computed = prompt_tokens(&finished.stderr);
    assert_eq!(computed.len(), 2, "{finished:?}");
    assert_eq!(finished.stderr.matches("tokens/s").count(), 4);
    // The second prompt repeats the first and its answer, which the session holds;
    // new are the answer's end and the second turn.
    let template = |messages: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("talk.json");
        let messages: Vec<Value> = messages
            .iter()
            .enumerate()
            .map(|(i, text)| serde_json::json!({"role": (["user", "assistant"][i % 2]), "content": text}))
            .collect();
        std::fs::write(&path, serde_json::to_string(&messages).unwrap()).unwrap();
        ids(&json(["template", "-m", model(), "--json", "--messages", path.to_str().unwrap()])["ids"]).len()
    };
    let first = template(&["Hello there"]);
    let blank = template(&["Hello there", "", "And then what?"]);
    assert_eq!(computed[0], first);
    assert_eq!(computed[1], blank - first);
}

#[test]
fn a_first_turn_answers_as_run_does() {
    let finished = chat(&[], "Hello there\n");
    let run = ["run", "-m", model(), "--seed", "5", "-n", "8", "-p", "Hello there"];
    assert_eq!(finished.stdout, Finished::of(&mut brooklet(run)).stdout);
}

#[test]
fn a_conversation_is_saved_loaded_and_reset() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("my talk.json");
    let path = path.to_str().unwrap();
    let finished = chat(&["--system", "be brief"], &format!("one\\\ntwo\n/save {path}\n/quit\nnever\n"));
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let saved: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let roles: Vec<&str> = saved.iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant"]);
    assert_eq!(saved[1]["content"], "one\ntwo");
    assert_eq!(finished.stdout, format!("{}\n", saved[2]["content"].as_str().unwrap()));

    // Loaded, a conversation goes on as if it had never stopped.
    let again = format!("/load {path}\nthree\n/save {path}\n/reset\n/save {path}.reset\n");
    let loaded = chat(&[], &again);
    assert_eq!(loaded.code, Some(0), "{loaded:?}");
    let longer: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(longer[..3], saved);
    assert_eq!(longer.len(), 5);
    // Started without --system, /reset leaves nothing.
    assert_eq!(std::fs::read_to_string(format!("{path}.reset")).unwrap().trim(), "[]");

    let option = chat(&["--messages", path], "/save\n");
    assert_eq!(option.code, Some(1));
    assert!(option.stderr.contains("/save needs a file"), "{option:?}");
}

#[test]
fn reset_makes_a_fresh_conversation() {
    let greedy = ["--temp", "0"];
    let once = chat(&greedy, "Hello\n");
    let twice = chat(&greedy, "Hello\n/reset\nHello\n");
    assert_eq!(twice.stdout, once.stdout.repeat(2));
}

#[test]
fn messages_that_end_with_the_users_turn_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("talk.json");
    std::fs::write(&path, r#"[{"role": "user", "content": "Hello there"}]"#).unwrap();
    let finished = chat(&["--messages", path.to_str().unwrap()], "");
    assert_eq!(finished.stdout, chat(&[], "Hello there\n").stdout);
}

#[test]
fn a_full_context_is_an_error_that_says_what_to_do() {
    let finished = chat(&["-c", "40"], &format!("{}\n", "long ".repeat(40)));
    assert_eq!(finished.code, Some(1));
    assert_eq!(finished.stdout, "");
    assert!(finished.stderr.contains("do not fit a context of 40"), "{finished:?}");
    assert!(finished.stderr.contains("/reset"), "{finished:?}");
}

#[test]
fn help_and_unknown_commands() {
    let finished = chat(&[], "/help\n");
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), ""));
    assert!(finished.stderr.contains("/save FILE"));
    let finished = chat(&[], "/frobnicate\n");
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("/frobnicate is no command"), "{finished:?}");
}

/// Ctrl-C ends the answer, not the chat. An answer of this small model takes milliseconds, and may end before the interrupt
/// comes: then it is tried again.
#[cfg(unix)]
#[test]
fn an_interrupt_stops_the_answer_and_not_the_program() {
    let interrupted = (0..50).map(|_| interrupted_chat()).find(|(_, stderr)| stderr.contains("Stopped."));
    let (code, stderr) = interrupted.expect("one answer of fifty is stopped");
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("/save FILE"), "{stderr}");
}

/// A chat whose first answer is interrupted and that is then asked for help: its status and what it says beside answers.
#[cfg(unix)]
fn interrupted_chat() -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_brooklet"))
        // Without a limit on tokens.
        .args(["chat", "-m", model(), "--seed", "1", "--temp", "0", "--repeat-penalty", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdin.write_all(b"Count\n").unwrap();
    // The answer is under way.
    stdout.read_exact(&mut [0; 1]).unwrap();
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    stdout.read_until(b'\n', &mut Vec::new()).unwrap();
    // Where the interrupt came too late, nobody may be there any more.
    let _ = stdin.write_all(b"/help\n");
    drop(stdin);
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    (child.wait().unwrap().code(), stderr)
}
