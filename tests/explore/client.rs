//! A running `termwise explore`, and a client that writes every byte itself.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// The command, running on a port of its own; ends with this value.
pub struct Explorer {
    pub child: Child,
    pub port: u16,
}

impl Explorer {
    /// Starts it and waits until it listens.
    pub fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_termwise"))
            .args(["explore", "--port", "0"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let port = line.strip_prefix("listening on http://127.0.0.1:").and_then(|rest| rest.split_once('/'));
        let port = port.unwrap_or_else(|| panic!("it said {line:?}")).0.parse().unwrap();
        Explorer { child, port }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// What comes back for these bytes.
    pub fn bytes(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }

    /// Status and JSON of what comes back for these bytes.
    pub fn raw(&self, request: &[u8]) -> (u16, Value) {
        let (status, _, body) = head_and_body(&self.bytes(request));
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    pub fn post(&self, name: &str, body: &[u8]) -> (u16, Value) {
        let head = format!(
            "POST /api/{name} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: {}\r\n\r\n",
            self.port,
            body.len()
        );
        self.raw(&[head.as_bytes(), body].concat())
    }

    pub fn try_ask(&self, name: &str, question: &Value) -> (u16, Value) {
        self.post(name, question.to_string().as_bytes())
    }

    /// An answer that must come.
    #[track_caller]
    pub fn ask(&self, name: &str, question: &Value) -> Value {
        let (status, answer) = self.try_ask(name, question);
        assert_eq!(status, 200, "{name}: {answer}");
        answer
    }

    pub fn info(&self) -> Value {
        let request = format!("GET /api/info HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", self.port);
        let (status, answer) = self.raw(request.as_bytes());
        assert_eq!(status, 200);
        answer
    }
}

impl Drop for Explorer {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended already
        let _ = self.child.wait();
    }
}

/// Status, head and body of an answer.
pub fn head_and_body(answer: &[u8]) -> (u16, String, Vec<u8>) {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_else(|| {
        panic!("no answer: {:?}", String::from_utf8_lossy(answer));
    });
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, answer[end + 4..].to_vec())
}
