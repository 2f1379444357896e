//! The server: takes connections on this machine, refuses those of other pages, and hands questions to the engine.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::Engine;
use super::http::{Failure, Head, Response, read_body, read_head};
use super::info;
use super::page::Assets;

/// Connections served at a time; a further one is told to come again.
const CONNECTIONS: usize = 64;
/// How long it takes to notice that the server should stop.
const WAIT: Duration = Duration::from_millis(50);

/// A server that listens on 127.0.0.1.
pub struct Server {
    listener: TcpListener,
    port: u16,
    site: Arc<Site>,
}

/// What all connections share.
struct Site {
    engine: Engine,
    assets: Assets,
    /// The names under which this server may be called: another one means that a page elsewhere has a name that
    /// leads here.
    hosts: [String; 2],
    active: AtomicUsize,
}

impl Server {
    /// Listens on a port, or on any free one for 0.
    pub fn bind(port: u16, assets: Assets, engine: Engine) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let port = listener.local_addr()?.port();
        let hosts = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
        let site = Site { engine, assets, hosts, active: AtomicUsize::new(0) };
        Ok(Server { listener, port, site: Arc::new(site) })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Serves until `stop` says so.
    pub fn run(self, stop: impl Fn() -> bool) {
        let Server { listener, site, .. } = self;
        // It waits in `accept`, and ends with the process.
        std::thread::spawn(move || {
            loop {
                match listener.accept() {
                    Ok((stream, _)) => site.take(stream),
                    // A caller who left again, or a machine without files to open: both pass.
                    Err(_) => std::thread::sleep(WAIT),
                }
            }
        });
        while !stop() {
            std::thread::sleep(WAIT);
        }
    }
}

/// What a computation gives; a panic is a failure.
pub fn guarded<R>(computation: impl FnOnce() -> Result<R, Failure>) -> Result<R, Failure> {
    catch_unwind(AssertUnwindSafe(computation)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        let message = text.unwrap_or("a panic without a message");
        Err(Failure::new(500, format!("the computation failed: {message}")))
    })
}

impl Site {
    /// Serves a connection on a thread of its own.
    fn take(self: &Arc<Self>, mut stream: TcpStream) {
        let busy = self.active.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS;
        if busy {
            let failure =
                Failure::new(503, format!("connections: expected at most {CONNECTIONS}, found more"));
            Response::failure(&failure).send_and_leave(&mut stream);
            self.active.fetch_sub(1, Ordering::SeqCst);
            return;
        }
        let site = Arc::clone(self);
        let serve = move || {
            let _ = catch_unwind(AssertUnwindSafe(|| site.serve(stream)));
            site.active.fetch_sub(1, Ordering::SeqCst);
        };
        if std::thread::Builder::new().name("explore".into()).spawn(serve).is_err() {
            self.active.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut head_only = false;
        let response = match read_head(&mut stream) {
            Ok(None) => return,
            Err(failure) => Response::failure(&failure),
            Ok(Some(mut head)) => {
                head_only = head.method == "HEAD";
                guarded(|| self.answer(&mut stream, &mut head))
                    .unwrap_or_else(|failure| Response::failure(&failure))
            }
        };
        let _ = response.send(&mut stream, head_only); // a client that has left wants no answer
    }

    fn answer(&self, stream: &mut TcpStream, head: &mut Head) -> Result<Response, Failure> {
        self.check_origin(head)?;
        let allow = |response: Response, methods: &str| Response {
            fields: vec![("Allow", methods.to_owned())],
            ..response
        };
        let refused = |methods: &str| {
            let failure = Failure::new(405, format!("method: expected {methods}, found another"));
            Ok(allow(Response::failure(&failure), methods))
        };
        let reads = matches!(head.method.as_str(), "GET" | "HEAD");
        match head.path.clone().as_str() {
            "/" if reads => self.page(),
            "/" | "/api/info" if !reads => refused("GET, HEAD"),
            "/api/info" => Ok(Response::json(200, &self.engine.info())),
            path if path.starts_with("/source/") => {
                let text = info::source(&path["/source/".len()..]).ok_or_else(|| {
                    Failure::new(404, "path: expected a file that a panel names, found another")
                })?;
                if !reads {
                    return refused("GET, HEAD");
                }
                Ok(Response {
                    status: 200,
                    kind: "text/plain; charset=utf-8",
                    fields: Vec::new(),
                    body: text.as_bytes().to_vec(),
                })
            }
            path => {
                let limit = path.strip_prefix("/api/").and_then(|name| Some((name, Engine::limit(name)?)));
                let Some((name, limit)) = limit else {
                    return Err(Failure::new(
                        404,
                        "path: expected / or a question under /api/, found another",
                    ));
                };
                if head.method != "POST" {
                    return refused("POST");
                }
                let body = read_body(stream, head, limit)?;
                Ok(Response::json(200, &self.engine.answer(name, &head.query, body)?))
            }
        }
    }

    /// Refuses what was not asked by this server's own page or by a program on this machine.
    fn check_origin(&self, head: &Head) -> Result<(), Failure> {
        let named = |text: &str| self.hosts.iter().any(|host| text.eq_ignore_ascii_case(host));
        match head.field("host")? {
            Some(host) if named(host) => {}
            _ => {
                return Err(Failure::new(
                    421,
                    format!("host: expected {}, found another", self.hosts.join(" or ")),
                ));
            }
        }
        if let Some(origin) = head.field("origin")?
            && !origin.strip_prefix("http://").is_some_and(named)
        {
            return Err(Failure::new(403, "origin: expected this server's own page, found another"));
        }
        match head.field("sec-fetch-site")? {
            None | Some("same-origin" | "none") => Ok(()),
            Some(_) => Err(Failure::new(403, "sec-fetch-site: expected same-origin or none, found another")),
        }
    }

    fn page(&self) -> Result<Response, Failure> {
        let document = self.assets.document(None).map_err(|error| Failure::new(500, error))?;
        Ok(Response {
            status: 200,
            kind: "text/html; charset=utf-8",
            fields: vec![("Content-Security-Policy", document.policy)],
            body: document.html.into_bytes(),
        })
    }
}
