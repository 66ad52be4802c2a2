//! Files that come in the end, however the server behaves.

use crate::server::{Reply, sha256};
use crate::{Setup, bytes};
use brooklet_tools::hub::Ask;
use std::fs;
use std::time::Duration;

const NAME: &str = "M-Q4_0.gguf";
const LEN: usize = 700_001;

#[test]
fn a_file_comes_once_and_then_from_the_cache() {
    let content = bytes(LEN, 1);
    let setup = Setup::new(&[(NAME, &content), ("M-Q8_0.gguf", b"other")]);
    let path = setup.pull(":q4_0").unwrap();
    assert!(path.ends_with(NAME) && path.starts_with(&setup.settings.cache));
    assert_eq!(fs::read(&path).unwrap(), content);
    assert_eq!((setup.hub.requests().len(), setup.network.requests().len()), (2, 1));

    // A model command asks nobody; pull asks for the list.
    assert_eq!(setup.get(":Q4_0", Ask::IfMissing).unwrap(), path);
    assert_eq!(setup.hub.requests().len(), 2);
    assert_eq!(setup.pull(":Q4_0").unwrap(), path);
    assert_eq!((setup.hub.requests().len(), setup.network.requests().len()), (3, 1));
}

#[test]
fn the_token_goes_to_the_hub_and_nowhere_else() {
    let setup = Setup::new(&[(NAME, &bytes(LEN, 1))]);
    setup.pull("").unwrap();
    for request in setup.hub.requests() {
        assert_eq!(request.headers["authorization"], "Bearer hf_secret", "{request:?}");
    }
    let at_network = setup.network.requests();
    assert_eq!(at_network.len(), 1);
    assert!(!at_network[0].headers.contains_key("authorization"), "{at_network:?}");
    assert!(!format!("{at_network:?}").contains("hf_secret"));
}

#[test]
fn a_connection_that_drops_is_gone_on_with_where_it_ended() {
    let content = bytes(LEN, 2);
    let whole = content.clone();
    let setup = Setup::with_network(&[(NAME, &content)], move |request, before| {
        (before < 2).then(|| Reply::content(request, &whole).cut(200_000))
    });
    assert_eq!(fs::read(setup.pull("").unwrap()).unwrap(), content);
    let from: Vec<_> = setup.network.requests().iter().map(|r| r.from()).collect();
    assert_eq!(from, [None, Some(200_000), Some(400_000)]);
}

#[test]
fn silence_ends_a_try_and_not_the_download() {
    let content = bytes(LEN, 2);
    let whole = content.clone();
    let mut setup = Setup::with_network(&[(NAME, &content)], move |request, before| {
        (before == 0).then(|| Reply { stall: true, ..Reply::content(request, &whole).cut(1000) })
    });
    setup.settings.patience.silence = Duration::from_secs(1);
    assert_eq!(fs::read(setup.pull("").unwrap()).unwrap(), content);
    assert_eq!(setup.network.requests()[1].from(), Some(1000));
}

#[test]
fn what_an_earlier_run_left_is_gone_on_with() {
    let content = bytes(LEN, 3);
    let setup = Setup::new(&[(NAME, &content)]);
    let partial = setup.leave_partial(&sha256(&content), &content[..123_456]);
    assert_eq!(fs::read(setup.pull("").unwrap()).unwrap(), content);
    assert_eq!(setup.network.requests()[0].from(), Some(123_456));
    assert!(!partial.exists());
}

#[test]
fn what_an_earlier_run_left_whole_is_not_asked_for_again() {
    let content = bytes(LEN, 3);
    let setup = Setup::new(&[(NAME, &content)]);
    setup.leave_partial(&sha256(&content), &content);
    assert_eq!(fs::read(setup.pull("").unwrap()).unwrap(), content);
    assert_eq!(setup.network.requests().len(), 0);
}

#[test]
fn a_partial_file_that_is_too_long_or_damaged_is_started_anew() {
    let content = bytes(LEN, 4);
    for left in [[&content[..], b"more"].concat(), bytes(1000, 99)] {
        let setup = Setup::new(&[(NAME, &content)]);
        setup.leave_partial(&sha256(&content), &left);
        assert_eq!(fs::read(setup.pull("").unwrap()).unwrap(), content);
        assert_eq!(setup.network.requests().last().unwrap().from(), None);
    }
}

#[test]
fn a_server_that_ignores_range_gives_the_whole() {
    let content = bytes(LEN, 5);
    let whole = content.clone();
    let setup = Setup::with_network(&[(NAME, &content)], move |_, _| Some(Reply::ok(&whole[..])));
    setup.leave_partial(&sha256(&content), &content[..500_000]);
    assert_eq!(fs::read(setup.pull("").unwrap()).unwrap(), content);
    assert_eq!(setup.network.requests()[0].from(), Some(500_000));
}

#[test]
fn a_wrong_part_is_not_written() {
    let content = bytes(LEN, 5);
    let whole = content.clone();
    for wrong in ["bytes 0-499999/700001", "bytes 500000-700000/900000", "nonsense"] {
        let whole = whole.clone();
        let setup = Setup::with_network(&[(NAME, &content)], move |request, _| {
            let reply = Reply::ok(&whole[..200_001]).with("Content-Range", wrong);
            request.from().map(|_| Reply { status: 206, ..reply })
        });
        setup.leave_partial(&sha256(&content), &content[..500_000]);
        assert_eq!(fs::read(setup.pull("").unwrap()).unwrap(), content);
        let from: Vec<_> = setup.network.requests().iter().map(|r| r.from()).collect();
        assert_eq!(from, [Some(500_000), None], "{wrong}");
    }
}

#[test]
fn a_busy_server_is_asked_again() {
    for status in [429, 500, 503] {
        let content = bytes(LEN, 6);
        let busy = move |_: &_, before| (before < 2).then(|| Reply::status(status).with("Retry-After", "0"));
        let setup = Setup::with(&[(NAME, &content)], busy, busy);
        assert_eq!(fs::read(setup.pull("").unwrap()).unwrap(), content, "{status}");
        assert_eq!(setup.network.requests().len(), 3);
    }
}

#[test]
fn a_list_that_is_cut_is_asked_for_again() {
    let content = bytes(LEN, 6);
    let list = crate::server::Repo::new(&[(NAME, &content)]).list();
    let cut = move |_: &_, before| (before == 0).then(|| Reply::ok(list.clone()).cut(list.len() / 2));
    let setup = Setup::with(&[(NAME, &content)], cut, |_, _| None);
    assert_eq!(fs::read(setup.pull("").unwrap()).unwrap(), content);
    assert_eq!(setup.hub.count("?blobs=true"), 2);
}

#[test]
fn a_new_commit_brings_what_changed_and_links_the_rest() {
    let (old, same) = (bytes(LEN, 7), bytes(1000, 8));
    let setup = Setup::new(&[(NAME, &old), ("M-Q8_0.gguf", &same)]);
    let first = setup.pull(":q4_0").unwrap();
    let kept = setup.pull(":q8_0").unwrap();
    let left = setup.leave_partial(&"0".repeat(64), b"of a file that is no more");

    let new = bytes(LEN, 9);
    {
        let mut repo = setup.repo.lock().unwrap();
        repo.commit = 'c';
        repo.files[0].1 = new.clone();
    }
    let before = setup.network.requests().len();
    assert_eq!(setup.get(":q4_0", Ask::IfMissing).unwrap(), first);
    let second = setup.pull(":q4_0").unwrap();
    assert_ne!(first, second);
    assert_eq!((fs::read(first).unwrap(), fs::read(&second).unwrap()), (old, new));
    assert_eq!(setup.network.requests().len(), before + 1);
    assert!(!left.exists());

    let linked = setup.pull(":q8_0").unwrap();
    assert_ne!(linked, kept);
    assert_eq!(fs::read(linked).unwrap(), same);
    assert_eq!(setup.network.requests().len(), before + 1);
    // Model commands now take the new commit.
    assert_eq!(setup.get(":q4_0", Ask::IfMissing).unwrap(), second);
}

#[test]
fn an_empty_file_needs_no_request() {
    let setup = Setup::new(&[(NAME, b"")]);
    assert_eq!(fs::read(setup.pull("").unwrap()).unwrap(), b"");
    assert_eq!(setup.network.requests().len(), 0);
}
