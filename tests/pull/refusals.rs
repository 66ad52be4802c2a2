//! What does not come, and what is said of it.

use crate::server::{Reply, Repo, Request, sha256};
use crate::{Setup, TRIES, bytes};
use brooklet_tools::hub::Ask;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const NAME: &str = "M-Q4_0.gguf";

#[track_caller]
fn says(outcome: Result<std::path::PathBuf, String>, words: &[&str]) {
    let error = outcome.expect_err("it is refused");
    for words in words {
        assert!(error.contains(words), "expected '{words}' in {error}");
    }
    assert!(!error.contains("hf_secret"), "{error}");
}

#[test]
fn content_of_another_digest_is_removed() {
    let content = bytes(5000, 1);
    let setup =
        Setup::with_network(&[(NAME, &content)], |request, _| Some(Reply::content(request, &bytes(5000, 2))));
    says(
        setup.pull(""),
        &["o/r/M-Q4_0.gguf", &sha256(&content), &sha256(&bytes(5000, 2)), "removed", "try again"],
    );
    assert_eq!(setup.models(), [""; 0]);
    assert!(!setup.files().iter().any(|f| f.contains("partial")), "{:?}", setup.files());
}

#[test]
fn a_small_file_of_another_digest_is_removed_too() {
    let answer = |request: &Request, _| request.path.contains("resolve-cache").then(|| Reply::ok("{ }"));
    let setup = Setup::with(&[("config.json", b"{}\n"), ("model.safetensors", b"x")], answer, |_, _| None);
    says(setup.pull(":q4_0"), &["config.json", "removed"]);
    assert_eq!(setup.network.requests().len(), 0);
}

#[test]
fn a_file_that_is_not_the_listed_one_is_not_begun() {
    let content = bytes(5000, 1);
    let changed: [fn(Reply) -> Reply; 2] = [
        |r| r.with("X-Linked-Size", "5001"),
        |r| r.with("X-Linked-ETag", format!("\"{}\"", sha256(b"another"))),
    ];
    for change in changed {
        let redirect = move |request: &Request, _| {
            request
                .path
                .contains("/resolve/")
                .then(|| change(Reply::status(302).with("Location", "/api/resolve-cache/M-Q4_0.gguf")))
        };
        let setup = Setup::with(&[(NAME, &content)], redirect, |_, _| None);
        says(setup.pull(""), &["/resolve/", "as the hub listed it", "try again"]);
        assert_eq!(setup.models(), [""; 0]);
    }
    let setup =
        Setup::with_network(&[(NAME, &content)], |request, _| Some(Reply::content(request, &bytes(5001, 1))));
    says(setup.pull(""), &["expected bytes: 5000", "found 5001"]);
}

#[test]
fn refusals_say_what_to_do() {
    for (status, words) in [
        (401, ["401", "does not exist, or is private or gated", "token"]),
        (403, ["403", "accept its terms at http://127.0.0.1", "HF_TOKEN"]),
        (404, ["404", "check the spelling", "'main'"]),
    ] {
        let refuse = move |_: &_, _| Some(Reply::status(status).with("X-Error-Message", "no way"));
        let mut setup = Setup::with(&[(NAME, b"x")], refuse, |_, _| None);
        says(setup.pull(""), &words);
        says(setup.pull(""), &["no way"]);
        setup.settings.token = None;
        says(setup.pull(""), &words[..2]);
        // Not asked again and again.
        assert_eq!(setup.hub.requests().len(), 3);
    }
}

#[test]
fn a_server_that_fails_for_good_is_given_up() {
    let setup = Setup::with(&[(NAME, b"x")], |_, _| Some(Reply::status(503)), |_, _| None);
    says(
        setup.pull(""),
        &["hf:o/r is not in the cache", "holds nothing of o/r", "503", "check the connection"],
    );
    assert_eq!(setup.hub.requests().len(), TRIES as usize);

    let content = bytes(5000, 1);
    let setup = Setup::with_network(&[(NAME, &content)], |request, _| {
        Some(Reply::content(request, &bytes(5000, 1)).cut(0))
    });
    says(setup.pull(""), &["it ends after 0 of 5000 bytes", "goes on where it ended"]);
    assert_eq!(setup.network.requests().len(), TRIES as usize);
}

/// A server that does not speak TLS stands for one that is not trusted.
#[test]
fn an_unsafe_connection_is_not_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut setup = Setup::new(&[]);
    setup.settings.endpoint = format!("https://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let seen = connections.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            seen.fetch_add(1, Ordering::SeqCst);
            let mut stream = stream.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            // Until the client leaves.
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    says(setup.pull(""), &["no safe connection", "Mozilla's roots"]);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[test]
fn redirects_have_an_end() {
    let around = |request: &Request, _| Some(Reply::status(302).with("Location", request.path.clone()));
    says(Setup::with(&[], around, |_, _| None).pull(""), &["more than 8 redirects"]);
    let away = |_: &_, _| Some(Reply::status(302).with("Location", "file:///etc/passwd"));
    says(Setup::with(&[], away, |_, _| None).pull(""), &["file:///etc/passwd", "does not follow"]);
}

#[test]
fn what_is_no_list_is_refused() {
    for list in ["", "[]", "{\"sha\":\"../..\",\"siblings\":[]}", "<html>"] {
        let setup = Setup::with(&[], move |_, _| Some(Reply::ok(list)), |_, _| None);
        says(setup.pull(""), &["/api/models/o/r/revision/main", "the list of files"]);
    }
    // Larger than any list.
    let setup = Setup::with(&[], |_, _| Some(Reply::ok(vec![b' '; (16 << 20) + 1])), |_, _| None);
    says(setup.pull(""), &["the list of files: expected at most"]);
}

#[test]
fn names_from_the_hub_do_not_leave_the_cache() {
    for name in [
        "../../../../evil-Q4_0.gguf",
        "/tmp/evil-Q4_0.gguf",
        "a/../../evil-Q4_0.gguf",
        "..\\evil-Q4_0.gguf",
        ".evil-Q4_0.gguf",
    ] {
        let setup = Setup::new(&[(name, b"evil")]);
        says(setup.pull(":Q4_0"), &["o/r: expected a GGUF file of type Q4_0, found none", "not counting 1"]);
        assert!(!setup.files().iter().any(|f| f.contains("evil")), "{:?}", setup.files());
        assert_eq!(setup.network.requests().len(), 0);
    }
    let mut repo = Repo::new(&[(NAME, b"x")]);
    repo.files.push((NAME.to_lowercase(), b"y".to_vec()));
    let list = repo.list();
    let setup = Setup::with(&[], move |_, _| Some(Reply::ok(list.clone())), |_, _| None);
    says(setup.pull(""), &["twice"]);
}

#[test]
fn types_that_are_not_there_name_those_that_are() {
    let setup = Setup::new(&[(NAME, b"x"), ("M-Q8_0.gguf", b"y"), ("M-F16-00001-of-00002.gguf", b"z")]);
    says(setup.pull(":Q5_0"), &["type Q5_0", "M-Q4_0.gguf, M-Q8_0.gguf", "hint: "]);
    says(setup.pull(":F16"), &["split"]);
    assert_eq!(setup.network.requests().len(), 0);
}

#[test]
fn offline_takes_what_the_cache_holds() {
    let mut setup = Setup::new(&[(NAME, b"content"), ("M-Q8_0.gguf", b"y")]);
    let path = setup.pull(":q4_0").unwrap();
    let asked = setup.hub.requests().len();
    setup.settings.offline = true;
    for ask in [Ask::Always, Ask::IfMissing] {
        assert_eq!(setup.get(":q4_0", ask).unwrap(), path);
        says(setup.get(":q8_0", ask), &["not in the cache", "holds M-Q4_0.gguf of o/r", "HF_HUB_OFFLINE"]);
    }
    assert_eq!(setup.hub.requests().len(), asked);

    // Nobody listens there.
    setup.settings.offline = false;
    setup.settings.endpoint = "http://127.0.0.1:9".into();
    assert_eq!(setup.pull(":q4_0").unwrap(), path);
    says(
        setup.pull(":q8_0"),
        &["not in the cache", "http://127.0.0.1:9/api/models/o/r", "check the connection"],
    );
}
