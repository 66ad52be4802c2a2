//! HTTP to the hub: redirects, the token, and which failures are worth another try.
//!
//! A file's address answers with a redirect, to the same host or to a content network on another; what the hub says of
//! the file (`X-Linked-Size`, `X-Linked-ETag`) is in the headers of the redirect, not of what it leads to.

use super::list::{FileList, shown};
use super::name::HubName;
use super::{Patience, Settings, Unreachable};
use crate::hint::HintExt;
use crate::terminal::note;
use anyhow::{Context, Result, anyhow};
use std::io::{ErrorKind, Read};
use std::thread;
use std::time::Duration;
use ureq::http::{HeaderMap, Uri, header};
use ureq::{Agent, BodyReader};

/// The hub redirects once or twice.
const MAX_REDIRECTS: usize = 8;
/// Most bytes of a list of files.
const MAX_LIST: u64 = 16 << 20;
/// The longest wait that a server may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Speaks with one hub.
pub(super) struct Client {
    agent: Agent,
    endpoint: String,
    origin: Origin,
    token: Option<String>,
    offline: bool,
    pub(super) patience: Patience,
}

/// An answer whose body has not been read.
pub(super) struct Answer {
    /// 200 or 206.
    pub(super) status: u16,
    pub(super) body: BodyReader<'static>,
    /// Bytes of this body.
    pub(super) length: Option<u64>,
    /// Where the body begins and how long the whole is, of a part.
    pub(super) range: Option<(u64, u64)>,
    /// What the hub says of the file: its bytes, and its digest.
    pub(super) linked: (Option<u64>, Option<String>),
}

/// A request that failed.
pub(super) enum Failure {
    /// Another try may do better, after the time that the server named.
    Passing(String, Option<Duration>),
    /// The part asked for is not there.
    Range,
    Final(anyhow::Error),
}

impl Client {
    pub(super) fn new(settings: &Settings) -> Result<Client> {
        let Patience { connect, silence, .. } = settings.patience;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("brooklet/", env!("CARGO_PKG_VERSION")))
            // What is counted and hashed is the file itself.
            .accept_encoding("identity")
            .timeout_resolve(Some(connect))
            .timeout_connect(Some(connect))
            .timeout_recv_response(Some(silence))
            .timeout_per_read(Some(silence))
            .build();
        let endpoint = settings.endpoint.clone();
        Ok(Client {
            agent: config.into(),
            origin: Origin::of(&endpoint)
                .with_context(|| format!("HF_ENDPOINT is no address: {}", shown(&endpoint)))?,
            endpoint,
            token: settings.token.clone(),
            offline: settings.offline,
            patience: settings.patience,
        })
    }

    /// The files of a repository.
    ///
    /// # Errors
    /// [`Unreachable`]; the hub refuses, has no such repository, or answers with something else.
    pub(super) fn list(&self, name: &HubName) -> Result<FileList> {
        if self.offline {
            let hint = "unset HF_HUB_OFFLINE to download it".into();
            return Err(Unreachable { why: "HF_HUB_OFFLINE forbids to ask the hub".into(), hint }.into());
        }
        let revision = name.revision.replace('/', "%2F");
        let url = format!("{}/api/models/{}/revision/{revision}?blobs=true", self.endpoint, name.id());
        let mut pauses = Pauses::new(self.patience);
        loop {
            let failure = match self.get(&url, None, name) {
                Ok(answer) => match read_list(answer) {
                    Ok(json) => return FileList::from_hub(&json).with_context(|| url.clone()),
                    Err(failure) => failure,
                },
                Err(failure) => failure,
            };
            pauses.wait(failure, &url)?;
        }
    }

    /// The address of a file.
    pub(super) fn file_url(&self, name: &HubName, list: &FileList, file: &str) -> String {
        format!("{}/{}/resolve/{}/{file}", self.endpoint, name.id(), list.commit)
    }

    /// Asks for a file, or for the part of it from an offset on, and follows redirects.
    pub(super) fn get(&self, url: &str, from: Option<u64>, name: &HubName) -> Result<Answer, Failure> {
        let mut url = url.to_string();
        let mut linked = (None, None);
        for _ in 0..=MAX_REDIRECTS {
            let origin =
                Origin::of(&url).ok_or_else(|| final_error(format!("no address: {}", shown(&url))))?;
            let mut request = self.agent.get(&url);
            if let Some(token) = self.token.as_ref().filter(|_| origin == self.origin) {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            if let Some(from) = from {
                request = request.header(header::RANGE, format!("bytes={from}-"));
            }
            let response = request.call().map_err(transport)?;
            let headers = response.headers();
            linked.0 = linked.0.or(number(headers, "x-linked-size"));
            linked.1 = linked.1.or_else(|| tag(headers, "x-linked-etag"));
            let status = response.status().as_u16();
            match status {
                301 | 302 | 303 | 307 | 308 => {
                    let target = text(headers, "location").unwrap_or_default();
                    url = origin.join(target).ok_or_else(|| {
                        final_error(format!(
                            "{url} redirects to '{}', which brooklet does not follow",
                            shown(target)
                        ))
                    })?;
                }
                200 | 206 => {
                    return Ok(Answer {
                        status,
                        length: number(headers, "content-length"),
                        range: content_range(headers),
                        linked,
                        body: response.into_body().into_reader(),
                    });
                }
                416 => return Err(Failure::Range),
                408 | 425 | 429 | 500..=599 => {
                    let after = number(headers, "retry-after").map(Duration::from_secs);
                    return Err(Failure::Passing(format!("it answers {status}"), after));
                }
                _ => return Err(Failure::Final(self.refusal(status, headers, &url, name))),
            }
        }
        Err(final_error(format!("{}: more than {MAX_REDIRECTS} redirects", shown(&url))))
    }

    /// What a status means, and what to do.
    fn refusal(&self, status: u16, headers: &HeaderMap, url: &str, name: &HubName) -> anyhow::Error {
        let id = name.id();
        let why = text(headers, "x-error-message").map_or(String::new(), |m| format!(": {}", shown(m)));
        let error = anyhow!("{} answers {status}{why}", shown(url));
        let page = format!("{}/{id}", self.endpoint);
        let hint = match (status, &self.token) {
            (401 | 403, None) => format!(
                "{id} does not exist, or is private or gated: check the spelling; else accept its terms at {page} and \
                 set HF_TOKEN to a token of yours"
            ),
            (401 | 403, Some(_)) => format!(
                "{id} does not exist, or is private or gated, and the token (HF_TOKEN, or the hub's token file) does \
                 not open it: accept its terms at {page}, or use a token of an account that may read it"
            ),
            (404, _) => {
                format!("check the spelling: {page} must be there, with the revision '{}'", name.revision)
            }
            _ => "HF_ENDPOINT is the hub's address, if it is set".into(),
        };
        Err::<(), _>(error).hint(|| hint).unwrap_err()
    }
}

fn read_list(answer: Answer) -> Result<Vec<u8>, Failure> {
    let mut json = Vec::new();
    let read = answer.body.take(MAX_LIST + 1).read_to_end(&mut json);
    read.map_err(|e| Failure::Passing(e.to_string(), None))?;
    if json.len() as u64 > MAX_LIST {
        return Err(final_error(format!("the list of files: expected at most {MAX_LIST} bytes, found more")));
    }
    match answer.length {
        Some(length) if length != json.len() as u64 => {
            Err(Failure::Passing(format!("the list ends after {} of {length} bytes", json.len()), None))
        }
        _ => Ok(json),
    }
}

/// Counts tries without progress, and waits longer after each.
pub(super) struct Pauses {
    patience: Patience,
    failed: u32,
}

impl Pauses {
    pub(super) fn new(patience: Patience) -> Pauses {
        Pauses { patience, failed: 0 }
    }

    /// Starts counting anew.
    pub(super) fn progress(&mut self) {
        self.failed = 0;
    }

    /// Waits, or returns the failure if it is final or one too many.
    pub(super) fn wait(&mut self, failure: Failure, url: &str) -> Result<()> {
        let (why, after) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Range => ("it does not give the part asked for".into(), None),
            Failure::Passing(why, after) => (why, after),
        };
        self.failed += 1;
        if self.failed >= self.patience.tries {
            let why = format!("{} failed {} times, the last time because {why}", shown(url), self.failed);
            let hint = "check the connection and try again: a download goes on where it ended. Proxies are taken from \
                        HTTPS_PROXY, another hub from HF_ENDPOINT";
            return Err(Unreachable { why, hint: hint.into() }.into());
        }
        let doubled = self.patience.pause.saturating_mul(1 << self.failed.min(16).saturating_sub(1));
        let pause = after.unwrap_or(doubled).min(MAX_PAUSE);
        if self.failed > 1 || pause > Duration::from_secs(2) {
            note(format_args!("{why}; trying again in {:.1} s", pause.as_secs_f64()));
        }
        thread::sleep(pause);
        Ok(())
    }
}

/// Scheme, host and port: who a token is for.
#[derive(PartialEq, Eq)]
struct Origin {
    scheme: String,
    authority: String,
}

impl Origin {
    fn of(url: &str) -> Option<Origin> {
        let uri: Uri = url.parse().ok()?;
        let scheme = uri.scheme_str()?.to_lowercase();
        let port = match (&*scheme, uri.port_u16()) {
            (_, Some(port)) => port,
            ("https", None) => 443,
            ("http", None) => 80,
            _ => return None,
        };
        Some(Origin { authority: format!("{}:{port}", uri.host()?.to_lowercase()), scheme })
    }

    /// The address that a redirect names: whole, or a path on this host. From https none leads to http.
    fn join(&self, target: &str) -> Option<String> {
        let url = match target {
            _ if target.starts_with("//") => format!("{}:{target}", self.scheme),
            _ if target.starts_with('/') => format!("{}://{}{target}", self.scheme, self.authority),
            _ => target.to_string(),
        };
        let there = Origin::of(&url)?;
        (self.scheme == "http" || there.scheme == "https").then_some(url)
    }
}

/// Connections that fail or end may do better next time; a certificate will not.
fn transport(error: ureq::Error) -> Failure {
    use ureq::Error as E;
    match error {
        // How rustls says that it does not trust the other side, or does not understand it.
        E::Io(ref e) if e.kind() == ErrorKind::InvalidData => {
            let error = Err::<(), _>(anyhow!("no safe connection to the hub: {error}"));
            let hint = "brooklet trusts servers whose certificates Mozilla's roots vouch for, as they were when it was \
                        built; a proxy with a root of its own is not among them";
            Failure::Final(error.hint(|| hint.into()).unwrap_err())
        }
        E::Io(_) | E::Timeout(_) | E::HostNotFound | E::ConnectionFailed | E::Protocol(_) => {
            Failure::Passing(error.to_string(), None)
        }
        _ => final_error(error.to_string()),
    }
}

pub(super) fn final_error(message: String) -> Failure {
    Failure::Final(anyhow!(message))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

/// An entity tag without its quotes.
fn tag(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(text(headers, name)?.trim_start_matches("W/").trim_matches('"').to_string())
}

/// Start and whole length of `bytes 5-9/10`.
fn content_range(headers: &HeaderMap) -> Option<(u64, u64)> {
    let (range, whole) = text(headers, "content-range")?.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, whole.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_join_and_never_leave_https() {
        let hub = Origin::of("https://Hub.example/x").unwrap();
        assert!(hub == Origin::of("https://hub.example:443").unwrap());
        assert_eq!(hub.join("/a?b=c").as_deref(), Some("https://hub.example:443/a?b=c"));
        assert_eq!(hub.join("https://cdn.example/a").as_deref(), Some("https://cdn.example/a"));
        assert_eq!(hub.join("//cdn.example/a").as_deref(), Some("https://cdn.example/a"));
        for bad in ["http://hub.example/a", "file:///etc/passwd", "", "a/b", "ftp://x/y"] {
            assert_eq!(hub.join(bad), None, "{bad}");
        }
        for other in ["https://hub.example:444/", "http://hub.example/", "https://hub.example.evil/"] {
            assert!(hub != Origin::of(other).unwrap(), "{other}");
        }
    }
}
