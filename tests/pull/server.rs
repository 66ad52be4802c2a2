//! A server that answers as the hub and its content network do, or as badly as a test wants.

use sha2::Digest;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What was asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// With the query.
    pub path: String,
    /// By names in small letters.
    pub headers: BTreeMap<String, String>,
}

impl Request {
    /// Where the part asked for begins.
    pub fn from(&self) -> Option<usize> {
        self.headers
            .get("range")
            .map(|r| r.strip_prefix("bytes=").unwrap().trim_end_matches('-').parse().unwrap())
    }
}

/// What is answered.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Ends after so many bytes of the body, whatever Content-Length says.
    pub cut: Option<usize>,
    /// Says nothing more after the cut, but keeps the connection until the client closes it.
    pub stall: bool,
}

impl Reply {
    pub fn status(status: u16) -> Reply {
        Reply { status, ..Reply::default() }
    }

    pub fn ok(body: impl Into<Vec<u8>>) -> Reply {
        Reply { status: 200, body: body.into(), ..Reply::default() }
    }

    /// The content, or the part that was asked for.
    pub fn content(request: &Request, content: &[u8]) -> Reply {
        match request.from() {
            None => Reply::ok(content),
            Some(from) if from >= content.len() => Reply::status(416),
            Some(from) => {
                let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
                Reply { status: 206, ..Reply::ok(&content[from..]) }.with("Content-Range", range)
            }
        }
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Reply {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn cut(self, bytes: usize) -> Reply {
        Reply { cut: Some(bytes), ..self }
    }

    fn send(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n", self.body.len());
        stream.write_all(head.as_bytes())?;
        stream.write_all(&self.body[..self.cut.unwrap_or(self.body.len())])?;
        if self.stall {
            let _ = stream.read(&mut [0]);
        }
        Ok(())
    }
}

/// A server on a port of its own, until the test's process ends.
#[derive(Clone)]
pub struct Server {
    /// `http://127.0.0.1:PORT`
    pub address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers every request as the function says.
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let server = Server { address, requests: requests.clone() };
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, answer, requests) = (stream.unwrap(), answer.clone(), requests.clone());
                thread::spawn(move || {
                    let Some(request) = read(&stream) else { return };
                    requests.lock().unwrap().push(request.clone());
                    // A client may leave early.
                    let _ = answer(&request).send(&mut stream);
                });
            }
        });
        server
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The paths that were asked for and end so.
    pub fn count(&self, end: &str) -> usize {
        self.requests().iter().filter(|r| r.path.ends_with(end)).count()
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let path = first.split(' ').nth(1)?.to_string();
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_string());
    }
    Some(Request { path, headers })
}

/// A repository `o/r` at a commit.
#[derive(Clone, Debug, Default)]
pub struct Repo {
    pub commit: char,
    pub files: Vec<(String, Vec<u8>)>,
}

impl Repo {
    pub fn new(files: &[(&str, &[u8])]) -> Repo {
        Repo { commit: 'a', files: files.iter().map(|(n, c)| (n.to_string(), c.to_vec())).collect() }
    }

    /// The commit's id.
    pub fn sha(&self) -> String {
        self.commit.to_string().repeat(40)
    }

    /// Large files lie on the content network.
    fn is_large(name: &str) -> bool {
        name.ends_with(".gguf") || name.ends_with(".safetensors")
    }

    /// The hub's answer to `/api/models/o/r/revision/main?blobs=true`.
    pub fn list(&self) -> String {
        let file = |(name, content): &(String, Vec<u8>)| match Repo::is_large(name) {
            true => serde_json::json!({"rfilename": name, "size": content.len(), "blobId": "b".repeat(40),
                "lfs": {"sha256": sha256(content), "size": content.len(), "pointerSize": 130}}),
            false => {
                serde_json::json!({"rfilename": name, "size": content.len(), "blobId": git_blob(content)})
            }
        };
        let siblings: Vec<_> = self.files.iter().map(file).collect();
        serde_json::json!({"_id": "x", "id": "o/r", "private": false, "sha": self.sha(), "siblings": siblings}).to_string()
    }

    /// Answers as the hub: lists, redirects large files to the content network with what it knows of them, and small
    /// ones to another path of its own.
    pub fn answer(&self, request: &Request, network: &str) -> Reply {
        if request.path == "/api/models/o/r/revision/main?blobs=true" {
            return Reply::ok(self.list());
        }
        if let Some(content) = self.content(&request.path, "/api/resolve-cache/") {
            return Reply::content(request, content);
        }
        let Some(content) = self.content(&request.path, &format!("/o/r/resolve/{}/", self.sha())) else {
            return Reply::status(404).with("X-Error-Message", "Repository not found");
        };
        let name = request.path.rsplit('/').next().unwrap();
        if Repo::is_large(name) {
            Reply::status(302)
                .with("Location", format!("{network}/{name}?signature=1"))
                .with("X-Linked-Size", content.len().to_string())
                .with("X-Linked-ETag", format!("\"{}\"", sha256(content)))
        } else {
            Reply::status(307).with("Location", format!("/api/resolve-cache/{name}"))
        }
    }

    /// The content of the file that lies under this path.
    pub fn content(&self, path: &str, folder: &str) -> Option<&[u8]> {
        let name = path.strip_prefix(folder)?;
        let name = name.split('?').next()?;
        self.files.iter().find(|(n, _)| n == name).map(|(_, content)| &content[..])
    }
}

pub fn sha256(content: &[u8]) -> String {
    hex(&sha2::Sha256::digest(content))
}

fn git_blob(content: &[u8]) -> String {
    hex(&sha1::Sha1::digest([format!("blob {}\0", content.len()).as_bytes(), content].concat()))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|b| format!("{b:02x}")).collect()
}
