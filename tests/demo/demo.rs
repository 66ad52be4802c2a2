//! `brooklet demo` as a newcomer runs it: the calls that the shipped model makes, and what the house says to them.

mod eval;

use assert_cmd::Command;

fn demo(args: &[&str], input: &str) -> String {
    let mut command = Command::cargo_bin("brooklet").unwrap();
    let output = command.arg("demo").args(args).write_stdin(input).assert().success().get_output().clone();
    String::from_utf8(output.stdout).unwrap()
}

/// Lines that must appear in this order.
fn assert_in_order(text: &str, lines: &[&str]) {
    let mut rest = text.lines();
    for line in lines {
        assert!(rest.any(|found| found == *line), "{line:?} is missing, or out of order, in:\n{text}");
    }
}

#[test]
fn the_scripted_conversation_makes_the_calls_asked_for() {
    let text = demo(&[], "");
    assert_in_order(
        &text,
        &[
            r#"  set_light(room="kitchen", on=True, brightness=40) -> {"room":"kitchen","light":"on","brightness":40}"#,
            "The kitchen light is on at 40 percent.",
            r#"  set_light(room="living room", on=True, brightness=40) -> {"room":"living room","light":"on","brightness":40}"#,
            r#"  set_heating(room="bedroom", temperature=22) -> {"room":"bedroom","heating":22}"#,
            r#"  set_timer(hours=1, minutes=20, name="lasagne") -> {"timer":"lasagne","hours":1,"minutes":20}"#,
            "The lasagne timer runs for 1 hour and 20 minutes.",
            r#"  get_status(what="timers") -> {"timers":[{"timer":"lasagne","left":"1 hour and 20 minutes"}]}"#,
            "Time left: lasagne, 1 hour and 20 minutes.",
            r#"  cancel_timer(name="lasagne") -> {"cancelled":"lasagne"}"#,
            r#"  add_reminder(text="call my sister", day="tomorrow", time="19:30") -> {"reminder":"call my sister","day":"tomorrow","time":"19:30"}"#,
            "I will remind you: call my sister, tomorrow at 19:30.",
            r#"  set_light(room="kitchen", on=False) -> {"room":"kitchen","light":"off"}"#,
            r#"  add_to_list(item="coffee") -> {"added":"coffee"}"#,
            r#"  get_status(what="light", room="all") -> {"lights_on":["living room"]}"#,
            "The light is on in the living room.",
            "Sorry, I can't tell the weather. I can help with lights, heating, timers, reminders and the shopping list.",
            "living room  on 40%    19 °C",
            "timers: none",
            "reminders: call my sister tomorrow 19:30",
            "list: coffee",
        ],
    );
    for figure in ["Converted a checkpoint of 7.61 M parameters to q4_0", "Loaded it in ", "tokens/s"] {
        assert!(text.contains(figure), "{figure} is missing in:\n{text}");
    }
}

#[test]
fn chat_takes_requests_from_standard_input_and_the_house_may_refuse() {
    let text = demo(
        &["--chat", "--type", "q8_0"],
        "light on in the balcony\nBedroom light off and kitchen light on\n",
    );
    assert_in_order(
        &text,
        &[
            r#"  set_light(room="balcony", on=True) -> {"error":"there is no light in the balcony"}"#,
            "Sorry, there is no light in the balcony.",
            r#"  set_light(room="bedroom", on=False) -> {"room":"bedroom","light":"off"}"#,
            r#"  set_light(room="kitchen", on=True) -> {"room":"kitchen","light":"on"}"#,
            "The bedroom light is off. The kitchen light is on.",
        ],
    );
}

#[test]
fn a_missing_checkpoint_says_where_to_run_it() {
    let mut command = Command::cargo_bin("brooklet").unwrap();
    let output = command.args(["demo", "--checkpoint", "/nowhere"]).assert().code(1).get_output().clone();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("/nowhere") && error.contains("--checkpoint"), "{error}");
}
