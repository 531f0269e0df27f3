//! A scripted HTTP cache: it stores what is put, and each answer can be another than the right one.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

/// What a request gets.
#[derive(Debug, Clone)]
pub enum HttpAnswer {
    /// What a cache would say.
    Right,
    /// This status, header lines and body.
    Other(u16, &'static str, Vec<u8>),
    /// The right answer, but its first byte is another.
    Damaged,
    /// The right answer, and a byte more.
    Longer,
    /// Nothing, as long as the client waits.
    Silence,
    /// The connection is closed.
    HangUp,
}

type Script = dyn Fn(&HttpRequest) -> HttpAnswer + Send + Sync;

#[derive(Default)]
struct Store {
    contents: Mutex<HashMap<String, Vec<u8>>>,
    requests: Mutex<Vec<HttpRequest>>,
}

/// A running cache. Its threads end with the process of the test.
pub struct HttpStore {
    port: u16,
    store: Arc<Store>,
}

impl HttpStore {
    /// Answers as `script` says.
    ///
    /// # Panics
    /// There is no free port.
    pub fn new(script: impl Fn(&HttpRequest) -> HttpAnswer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let store = Arc::new(Store::default());
        let (shared, script): (_, Arc<Script>) = (Arc::clone(&store), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (store, script) = (Arc::clone(&shared), Arc::clone(&script));
                thread::spawn(move || while serve_one(&stream, &store, &*script).is_some() {});
            }
        });
        Self { port, store }
    }

    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<HttpRequest> {
        self.store.requests.lock().expect("whole").clone()
    }
}

/// `None` when the connection is to end.
fn serve_one(stream: &TcpStream, store: &Store, script: &Script) -> Option<()> {
    let request = read(&mut BufReader::new(stream))?;
    store.requests.lock().expect("whole").push(request.clone());
    let answer = script(&request);
    let mut stream = stream;
    let (status, headers, body) = match answer {
        HttpAnswer::Right => store.answer(&request),
        HttpAnswer::Other(status, headers, body) => (status, headers, body),
        HttpAnswer::Damaged => {
            let mut right = store.answer(&request);
            if let Some(first) = right.2.first_mut() {
                *first ^= 1;
            }
            right
        }
        HttpAnswer::Longer => {
            let mut right = store.answer(&request);
            right.2.push(0);
            right
        }
        HttpAnswer::Silence => {
            // Until the client hangs up.
            stream.set_read_timeout(Some(Duration::from_mins(1))).ok()?;
            let _ = stream.read(&mut [0]);
            return None;
        }
        HttpAnswer::HangUp => return None,
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} Scripted\r\nContent-Length: {length}\r\n{headers}\r\n"
    )
    .ok()?;
    stream.write_all(&body).ok()
}

impl Store {
    fn answer(&self, request: &HttpRequest) -> (u16, &'static str, Vec<u8>) {
        let mut contents = self.contents.lock().expect("whole");
        match (&request.method[..], contents.get(&request.path)) {
            ("PUT", _) => {
                contents.insert(request.path.clone(), request.body.clone());
                (201, "", Vec::new())
            }
            ("GET", Some(found)) => (200, "", found.clone()),
            ("GET", None) => (404, "", Vec::new()),
            _ => (405, "", Vec::new()),
        }
    }
}

fn read(stream: &mut BufReader<&TcpStream>) -> Option<HttpRequest> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length");
    let length = length.and_then(|it| it.parse().ok()).unwrap_or_default();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(HttpRequest {
        method,
        path,
        headers,
        body,
    })
}
