//! An HTTP server on the loopback interface that does what a test tells it to, faults included.
//!
//! ```ignore
//! let server = Server::start();
//! server.file("/files/a.whl", bytes);                          // 200, or 206 for a range
//! server.route("/simple/a/", |request| Response::status(500)); // anything
//! assert_eq!(server.requests_to("/simple/a/").len(), 1);
//! ```

#![allow(clippy::unwrap_used, dead_code, reason = "tests fail by panicking, and each uses a part")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use url::Url;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// The path without the query.
    pub path: String,
    pub query: Option<String>,
    /// Names are in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// An answer to give.
#[derive(Debug, Clone)]
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    cut_after: Option<usize>,
    endless: bool,
    pause: Duration,
}

impl Response {
    /// An answer with nothing but a status.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            cut_after: None,
            endless: false,
            pause: Duration::ZERO,
        }
    }

    /// A body that is all right.
    pub fn ok(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut this = Self::status(200).header("content-type", content_type);
        this.body = body.into();
        this
    }

    /// A redirect.
    pub fn redirect(location: &str) -> Self {
        Self::status(302).header("location", location)
    }

    /// What a server with support for ranges answers.
    pub fn ranged(request: &Request, bytes: &[u8]) -> Self {
        let total = bytes.len();
        let Some(range) = request.header("range").and_then(|range| range.strip_prefix("bytes=")) else {
            return Self::ok("application/octet-stream", bytes);
        };
        let (start, end) = match range.split_once('-').unwrap() {
            ("", suffix) => (total.saturating_sub(suffix.parse().unwrap()), total),
            (start, "") => (start.parse().unwrap(), total),
            (start, last) => (start.parse().unwrap(), (last.parse::<usize>().unwrap() + 1).min(total)),
        };
        if start >= end {
            return Self::status(416).header("content-range", &format!("bytes */{total}"));
        }
        let mut this = Self::ok("application/octet-stream", &bytes[start..end]);
        this.status = 206;
        this.header("content-range", &format!("bytes {start}-{}/{total}", end - 1))
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Breaks the connection after so many bytes of the body.
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.cut_after = Some(bytes);
        self
    }

    /// Repeats the body until the client hangs up.
    pub fn endless(mut self) -> Self {
        self.endless = true;
        self
    }

    /// The same, with a pause after each time.
    pub fn trickling(self, pause: Duration) -> Self {
        Self { pause, ..self.endless() }
    }
}

type Handler = Arc<dyn Fn(&Request) -> Response + Send + Sync>;

#[derive(Default)]
struct State {
    routes: HashMap<String, Handler>,
    log: Vec<Request>,
}

/// The server. It answers 404 where there is no route.
#[derive(Clone)]
pub struct Server {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Server {
    /// Starts a server; it ends with the process.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let this = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let state = Arc::clone(&this.state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                // A client that hangs up is no fault of the server.
                std::thread::spawn(move || drop(serve(&stream, &state)));
            }
        });
        this
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).unwrap()
    }

    /// The URL of a path, with credentials.
    pub fn url_with(&self, user: &str, password: &str, path: &str) -> Url {
        let mut url = self.url(path);
        url.set_username(user).unwrap();
        url.set_password(Some(password)).unwrap();
        url
    }

    /// Answers requests for a path (whatever their method and query) by `handler`.
    pub fn route(&self, path: &str, handler: impl Fn(&Request) -> Response + Send + Sync + 'static) {
        self.state.lock().unwrap().routes.insert(path.to_owned(), Arc::new(handler));
    }

    /// Serves bytes, whole or in ranges.
    pub fn file(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        self.route(path, move |request| Response::ranged(request, &bytes));
    }

    /// Serves a page.
    pub fn page(&self, path: &str, content_type: &'static str, body: impl Into<Vec<u8>>) {
        let body = body.into();
        self.route(path, move |_| Response::ok(content_type, body.clone()));
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().log.clone()
    }

    /// All requests for a path so far.
    pub fn requests_to(&self, path: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.path == path).collect()
    }

    /// Forgets the requests so far.
    pub fn clear(&self) {
        self.state.lock().unwrap().log.clear();
    }
}

/// Serves one connection until either side closes it.
fn serve(stream: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader)? {
        let handler = {
            let mut state = state.lock().unwrap();
            state.log.push(request.clone());
            state.routes.get(&request.path).cloned()
        };
        let response = handler.map_or_else(|| Response::status(404), |handler| handler(&request));
        if !write_response(stream, &request, &response)? {
            break;
        }
    }
    Ok(())
}

fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query,
        headers: Vec::new(),
        body: Vec::new(),
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    if let Some(len) = request.header("content-length").and_then(|len| len.parse().ok()) {
        request.body = vec![0; len];
        reader.read_exact(&mut request.body)?;
    } else if request.header("transfer-encoding") == Some("chunked") {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let len = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
            let mut chunk = vec![0; len + 2];
            reader.read_exact(&mut chunk)?;
            if len == 0 {
                break;
            }
            request.body.extend_from_slice(&chunk[..len]);
        }
    }
    Ok(Some(request))
}

/// Writes the answer; gives whether the connection goes on.
fn write_response(mut stream: &TcpStream, request: &Request, response: &Response) -> std::io::Result<bool> {
    let mut head = format!("HTTP/1.1 {} Status\r\n", response.status);
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if response.endless {
        head.push_str("transfer-encoding: chunked\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        loop {
            write!(stream, "{:x}\r\n", response.body.len())?;
            stream.write_all(&response.body)?;
            stream.write_all(b"\r\n")?;
            std::thread::sleep(response.pause);
        }
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", response.body.len()));
    stream.write_all(head.as_bytes())?;
    if request.method == "HEAD" {
        return Ok(true);
    }
    let end = response.cut_after.unwrap_or(response.body.len()).min(response.body.len());
    stream.write_all(&response.body[..end])?;
    Ok(end == response.body.len())
}
