//! As much of HTTP/1.1 as a page on this machine needs: one request a connection, bounded in bytes and in time.
//!
//! What a client can do wrong is answered or cut off: a head or a body that is too long is not read to its end, one that
//! does not come in time is given up, and a client that does not take its answer holds one thread for a bounded time.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// The most bytes of a request's first line and fields.
const HEAD: usize = 16 * 1024;
/// How long a client may take over the head.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long it may take over the body.
const BODY_TIME: Duration = Duration::from_secs(60);
/// How long it may take over the answer.
const WRITE_TIME: Duration = Duration::from_secs(20);

/// A refusal or a fault: the status and one sentence.
#[derive(Debug)]
pub struct Failure {
    /// The status code.
    pub status: u16,
    /// What is wrong.
    pub sentence: String,
}

impl Failure {
    /// A failure of a status.
    pub fn new(status: u16, sentence: impl Into<String>) -> Self {
        Failure { status, sentence: sentence.into() }
    }

    /// A request that says something wrong.
    pub fn field(field: &str, expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Self {
        Failure::new(400, format!("{field}: expected {expected}, found {found}"))
    }
}

/// The head of a request.
pub struct Head {
    /// `GET`, `HEAD` or `POST`, or something else.
    pub method: String,
    /// The path, without what follows `?`.
    pub path: String,
    /// What follows `?`.
    pub query: String,
    fields: Vec<(String, String)>,
    /// What of the body came along with the head.
    early: Vec<u8>,
}

impl Head {
    /// The value of a field that is there at most once.
    pub fn field(&self, name: &str) -> Result<Option<&str>, Failure> {
        let mut values =
            self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str());
        let first = values.next();
        match values.next() {
            None => Ok(first),
            Some(_) => Err(Failure::field(name, "one such field", "several")),
        }
    }

    /// The length of the body; 0 where it is not stated.
    pub fn body_length(&self) -> Result<u64, Failure> {
        if self.field("transfer-encoding")?.is_some() {
            return Err(Failure::new(
                501,
                "transfer-encoding: expected a body with a content-length, found an encoding",
            ));
        }
        let Some(text) = self.field("content-length")? else { return Ok(0) };
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let length = if digits { text.parse().unwrap_or(u64::MAX) } else { u64::MAX };
        match digits {
            true => Ok(length),
            false => Err(Failure::field("content-length", "a number", format!("'{text}'"))),
        }
    }
}

/// Reads what is there, or waits for it until the time is over; 0 where the client has ended.
fn read_some(stream: &mut TcpStream, buffer: &mut [u8], until: Instant) -> io::Result<usize> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    stream.set_read_timeout(Some(left))?;
    stream.read(buffer)
}

/// Reads the head of a request; `None` where the client sent nothing, or not in time.
pub fn read_head(stream: &mut TcpStream) -> Result<Option<Head>, Failure> {
    let until = Instant::now() + HEAD_TIME;
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if bytes.len() > HEAD {
            return Err(Failure::new(
                431,
                format!("request: expected a head of at most {HEAD} bytes, found more"),
            ));
        }
        match read_some(stream, &mut buffer, until) {
            Ok(0) | Err(_) => return Ok(None),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    };
    let early = bytes.split_off(end + 4);
    parse_head(&bytes[..end], early).map(Some)
}

fn parse_head(bytes: &[u8], early: Vec<u8>) -> Result<Head, Failure> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| Failure::field("request", "a head of text", "other bytes"))?;
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let parts: Vec<&str> = first.split(' ').collect();
    let &[method, target, version] = parts.as_slice() else {
        return Err(Failure::field(
            "request",
            "a method, a path and a version",
            format!("{} words", parts.len()),
        ));
    };
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return Err(Failure::new(505, "request: expected HTTP/1.1, found another version"));
    }
    if !target.starts_with('/') {
        return Err(Failure::field("request", "a path that begins with /", "another"));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut fields = Vec::new();
    for line in lines {
        let field = line.split_once(':').filter(|(name, _)| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
        });
        let Some((name, value)) = field else {
            return Err(Failure::field("request", "fields of a name, a colon and a value", "another line"));
        };
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(Head { method: method.to_owned(), path: path.to_owned(), query: query.to_owned(), fields, early })
}

/// Reads the body, of at most `limit` bytes; a longer one is refused before it is read.
pub fn read_body(stream: &mut TcpStream, head: &mut Head, limit: usize) -> Result<Vec<u8>, Failure> {
    let length = head.body_length()?;
    if length > limit as u64 {
        return Err(Failure::new(413, format!("body: expected at most {limit} bytes, found {length}")));
    }
    let length = length as usize;
    if head.field("expect")?.is_some_and(|expect| expect.eq_ignore_ascii_case("100-continue")) {
        let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n"); // a client that has left is noticed below
    }
    let mut body = std::mem::take(&mut head.early);
    body.truncate(length);
    let until = Instant::now() + BODY_TIME;
    let mut buffer = vec![0; 64 * 1024];
    while body.len() < length {
        let wanted = (length - body.len()).min(buffer.len());
        match read_some(stream, &mut buffer[..wanted], until) {
            Ok(0) => {
                let found = format!("an end after {}", body.len());
                return Err(Failure::field("body", format!("{length} bytes"), found));
            }
            Ok(count) => body.extend_from_slice(&buffer[..count]),
            Err(_) => {
                return Err(Failure::new(
                    408,
                    format!("body: expected {length} bytes, found {} in time", body.len()),
                ));
            }
        }
    }
    Ok(body)
}

/// An answer.
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The media type of the body.
    pub kind: &'static str,
    /// Further fields.
    pub fields: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// An answer in JSON.
    pub fn json(status: u16, value: &serde_json::Value) -> Self {
        let body = serde_json::to_vec(value).unwrap_or_default();
        Response { status, kind: "application/json", fields: Vec::new(), body }
    }

    /// A failure in JSON.
    pub fn failure(failure: &Failure) -> Self {
        Self::json(failure.status, &serde_json::json!({ "error": failure.sentence }))
    }

    /// Sends it, without its body in answer to HEAD, and lets go of the connection.
    pub fn send(&self, stream: &mut TcpStream, head_only: bool) -> io::Result<()> {
        let bytes = self.bytes(head_only);
        let until = Instant::now() + WRITE_TIME;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            stream.set_write_timeout(Some(left))?;
            let sent = stream.write(rest)?;
            if sent == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = &rest[sent..];
        }
        linger(stream)
    }

    /// Sends it as far as that takes no time.
    pub fn send_and_leave(&self, stream: &mut TcpStream) {
        // A client that does not get it sees a closed connection.
        let _ = stream.set_nonblocking(true).and_then(|()| stream.write(&self.bytes(false)));
    }

    fn bytes(&self, head_only: bool) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            413 => "Content Too Large",
            421 => "Misdirected Request",
            431 => "Request Header Fields Too Large",
            501 => "Not Implemented",
            503 => "Service Unavailable",
            505 => "HTTP Version Not Supported",
            _ => "Internal Server Error",
        };
        let mut text = format!("HTTP/1.1 {} {reason}\r\n", self.status);
        let common = [
            ("Content-Type", self.kind.to_owned()),
            ("Content-Length", self.body.len().to_string()),
            ("Connection", "close".to_owned()),
            ("Cache-Control", "no-store".to_owned()),
            ("X-Content-Type-Options", "nosniff".to_owned()),
            ("Referrer-Policy", "no-referrer".to_owned()),
            ("Cross-Origin-Resource-Policy", "same-origin".to_owned()),
        ];
        for (name, value) in common.iter().chain(&self.fields) {
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        let mut bytes = text.into_bytes();
        if !head_only {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

/// Closes for writing and takes a little of what still comes: closing upon unread bytes would reset the connection, and
/// the client might lose its answer.
fn linger(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let until = Instant::now() + Duration::from_millis(500);
    let (mut buffer, mut taken) = ([0; 4096], 0);
    while taken < 1024 * 1024 {
        match read_some(stream, &mut buffer, until) {
            Ok(0) | Err(_) => break,
            Ok(count) => taken += count,
        }
    }
    Ok(())
}
