//! What the server refuses, and whom it does not wait for.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::client::{Explorer, head_and_body};
use crate::only_own_addresses;

#[test]
fn requests_of_other_pages_are_refused() {
    let explorer = Explorer::start(&[]);
    let port = explorer.port;
    let get = |fields: &str| explorer.raw(format!("GET /api/info HTTP/1.1\r\n{fields}\r\n").as_bytes()).0;
    let own = format!("Host: 127.0.0.1:{port}\r\n");
    assert_eq!(get(&own), 200);
    assert_eq!(get(&format!("Host: localhost:{port}\r\n")), 200);
    for host in ["Host: evil.example\r\n", "", "Host: 127.0.0.1\r\n", "Host: 127.0.0.1:1\r\n"] {
        assert_eq!(get(host), 421, "{host}");
    }
    assert_eq!(get(&format!("{own}{own}")), 400);
    assert_eq!(get(&format!("{own}Origin: http://127.0.0.1:{port}\r\n")), 200);
    for other in [
        "Origin: http://evil.example",
        "Origin: null",
        "Origin: http://127.0.0.1:1",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
    ] {
        assert_eq!(get(&format!("{own}{other}\r\n")), 403, "{other}");
    }
    let (_, head, _) = head_and_body(&explorer.bytes(format!("GET / HTTP/1.1\r\n{own}\r\n").as_bytes()));
    let policy = head.lines().find(|line| line.starts_with("Content-Security-Policy: ")).unwrap();
    assert!(policy.contains("default-src 'none'; script-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(head.contains("X-Content-Type-Options: nosniff"), "{head}");
    assert!(!head.contains("Access-Control"), "{head}");
}

#[test]
fn the_page_holds_no_address_of_another_computer() {
    let explorer = Explorer::start(&[]);
    let request = format!("GET / HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", explorer.port);
    let (status, _, body) = head_and_body(&explorer.bytes(request.as_bytes()));
    let page = String::from_utf8(body).unwrap();
    assert_eq!(status, 200);
    only_own_addresses(&page);
    assert!(page.contains("<style>") && page.matches("<script>").count() > 5);
}

#[test]
fn what_is_wrong_is_said_in_one_sentence() {
    let explorer = Explorer::start(&[]);
    let scene = json!({"height": 1, "width": 2, "rgb": [0, 0, 0, 9, 9, 9], "arrows": [0, 0]});
    let lesson = json!({"kind": "lesson"});
    let cases = [
        (
            "scene",
            json!({"name": "nowhere"}),
            "name: expected one of arrows, colours, spotlight, stripes, shapes, found 'nowhere'",
        ),
        (
            "scene",
            json!({"name": "arrows", "size": 33}),
            "size: expected a whole number from 1 to 32, found 33",
        ),
        (
            "scene",
            json!({"name": "arrows", "sise": 3}),
            "question: expected the fields name, size, seed, found 'sise'",
        ),
        ("scene", json!([]), "question: expected an object, found a list of 0"),
        ("layer", json!({"source": lesson}), "scene: expected a value, found nothing"),
        (
            "layer",
            json!({"source": lesson, "scene": {"height": 1, "width": 2, "rgb": [0]}}),
            "scene.rgb: expected a list of 6 whole numbers from 0 to 255, found a list of 1",
        ),
        (
            "layer",
            json!({"source": lesson, "scene": {"height": 1, "width": 1, "rgb": [0, 256, 0]}}),
            "scene.rgb[1]: expected a whole number from 0 to 255, found 256",
        ),
        (
            "layer",
            json!({"source": {"kind": "checkpoint", "block": "x"}, "scene": scene}),
            "source.kind: expected a checkpoint to be loaded, found none",
        ),
        (
            "attend",
            json!({"source": lesson, "scene": scene, "query": [0, 2]}),
            "query: expected [row, column] inside of 1 x 2, found [0, 2]",
        ),
        (
            "attend",
            json!({"source": lesson, "scene": scene, "query": [0, 0], "terms": "0120"}),
            "terms: unknown attention code '0120': expected four switches 0000 to 1111, w/o, regular, deformable, dynamic, or one of them with '+deformable' (as 0010+deformable)",
        ),
        (
            "deformable",
            json!({"scene": scene, "query": [0, 0], "offsets": [[0, 1e9]]}),
            "offsets: expected 9 pairs [dy, dx] from -64 to 64, found a list of 1",
        ),
        ("train", json!({"action": "fly"}), "action: expected new or step, found 'fly'"),
        ("sentence", json!({"text": "  "}), "text: expected a sentence, found nothing"),
    ];
    for (name, question, expected) in cases {
        let (status, answer) = explorer.try_ask(name, &question);
        assert_eq!((status, answer["error"].as_str().unwrap()), (400, expected), "{name} {question}");
    }
    for (name, bytes) in [
        ("picture", &b"GIF89a"[..]),
        ("checkpoint", b"{}"),
        ("checkpoint", b""),
        ("layer", b"{\"a\""),
        ("layer", b"\xff"),
    ] {
        let (status, answer) = explorer.post(name, bytes);
        assert_eq!(status, 400, "{name} {answer}");
        assert!(!answer["error"].as_str().unwrap().contains('\n'), "{answer}");
    }
    let own = format!("Host: localhost:{}\r\n\r\n", explorer.port);
    for (line, status) in [
        ("GET /secret HTTP/1.1", 404),
        ("GET /../Cargo.toml HTTP/1.1", 404),
        ("GET /%2e%2e/Cargo.toml HTTP/1.1", 404),
        ("POST /api/nothing HTTP/1.1", 404),
        ("GET /api/layer HTTP/1.1", 405),
        ("POST / HTTP/1.1", 405),
        ("PUT /api/layer HTTP/1.1", 405),
        ("DELETE / HTTP/1.1", 405),
        ("OPTIONS /api/layer HTTP/1.1", 405),
        ("GET / HTTP/3", 505),
        ("GET", 400),
        ("GET http://evil.example/ HTTP/1.1", 400),
    ] {
        assert_eq!(explorer.raw(format!("{line}\r\n{own}").as_bytes()).0, status, "{line}");
    }
    let (status, _, body) = head_and_body(&explorer.bytes(format!("HEAD / HTTP/1.1\r\n{own}").as_bytes()));
    assert_eq!((status, body.len()), (200, 0));
}

#[test]
fn what_is_too_large_is_not_read() {
    let explorer = Explorer::start(&[]);
    let start = Instant::now();
    for (name, length) in
        [("layer", "5000000"), ("picture", "999999999999999"), ("checkpoint", "99999999999999999999999")]
    {
        let head = format!(
            "POST /api/{name} HTTP/1.1\r\nHost: localhost:{}\r\nContent-Length: {length}\r\n\r\n",
            explorer.port
        );
        assert_eq!(explorer.raw(head.as_bytes()).0, 413, "{name}");
    }
    let long =
        format!("GET / HTTP/1.1\r\nHost: localhost:{}\r\nX: {}\r\n\r\n", explorer.port, "x".repeat(40_000));
    assert_eq!(explorer.raw(long.as_bytes()).0, 431);
    let chunked = format!(
        "POST /api/layer HTTP/1.1\r\nHost: localhost:{}\r\nTransfer-Encoding: chunked\r\n\r\n",
        explorer.port
    );
    assert_eq!(explorer.raw(chunked.as_bytes()).0, 501);
    // 25 million pixels in a few kilobytes.
    let mut bomb = Vec::new();
    let mut encoder = png::Encoder::new(&mut bomb, 5000, 5000);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&vec![0; 25_000_000]).unwrap();
    writer.finish().unwrap();
    let (status, answer) = explorer.post("picture", &bomb);
    assert_eq!(status, 400);
    assert!(
        answer["error"].as_str().unwrap().contains("of at most 16777216 pixels, found one of 5000 x 5000"),
        "{answer}"
    );
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn a_picture_becomes_a_scene_that_fits() {
    let explorer = Explorer::start(&[]);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 8, 4);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().unwrap();
    // The left half red, the right half blue.
    let pixel = |i: usize| if i % 8 < 4 { [255, 0, 0] } else { [0, 0, 255] };
    writer.write_image_data(&(0..32).flat_map(pixel).collect::<Vec<u8>>()).unwrap();
    writer.finish().unwrap();
    let (status, scene) = explorer.post("picture?size=4", &bytes);
    assert_eq!(status, 200, "{scene}");
    assert_eq!((&scene["height"], &scene["width"]), (&json!(2), &json!(4)));
    let row = [255, 0, 0, 255, 0, 0, 0, 0, 255, 0, 0, 255];
    assert_eq!(scene["rgb"], json!([row, row].concat()));
    assert_eq!(explorer.post("picture?size=0", &bytes).0, 400);
}

#[test]
fn slow_and_rude_clients_do_not_keep_others_waiting() {
    let explorer = Explorer::start(&[]);
    let half = format!(
        "POST /api/layer HTTP/1.1\r\nHost: localhost:{}\r\nContent-Length: 50\r\n\r\n{{",
        explorer.port
    );
    let mut held = Vec::new();
    for i in 0..20 {
        let mut stream = explorer.connect();
        stream.write_all(if i % 2 == 0 { half.as_bytes() } else { b"GET / HT" }).unwrap();
        held.push(stream);
    }
    for _ in 0..20 {
        // Asks and leaves.
        let mut stream = explorer.connect();
        stream
            .write_all(format!("GET / HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", explorer.port).as_bytes())
            .unwrap();
    }
    let start = Instant::now();
    assert!(explorer.info()["version"].is_string());
    assert!(start.elapsed() < Duration::from_secs(3));
    // More than it serves at a time: the last ones are told so, and when the others have left it serves again.
    held.extend((0..80).map(|_| explorer.connect()));
    std::thread::sleep(Duration::from_millis(200));
    let mut last = held.pop().unwrap();
    let mut text = String::new();
    let _ = last.read_to_string(&mut text); // it may be reset
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 503 "), "{text}");
    drop(held);
    std::thread::sleep(Duration::from_millis(500));
    assert!(explorer.info()["version"].is_string());
}

#[test]
fn nonsense_is_answered_or_cut_off_and_the_server_lives() {
    let explorer = Explorer::start(&[]);
    let scene = explorer.ask("scene", &json!({"name": "arrows", "size": 3, "seed": 1}));
    let source = json!({"kind": "lesson"});
    let question =
        json!({"source": source, "scene": scene, "terms": "1111", "query": [1, 1], "target": [1, 2, 3]})
            .to_string();
    let names = [
        "scene",
        "layer",
        "attend",
        "gradcheck",
        "deformable",
        "deformable_scan",
        "dynamic",
        "matrix",
        "train",
        "sample",
        "sentence",
        "picture",
        "checkpoint",
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for round in 0..400 {
        let mut body = question.clone().into_bytes();
        // In half of the rounds the body alone is damaged, so that it gets as far as it can.
        let whole = round % 2 == 0;
        let name = names[rng.random_range(0..names.len())];
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..body.len());
            match rng.random_range(0..4) {
                0 => body[at] = rng.random(),
                1 => drop(body.remove(at)),
                2 => body.insert(at, b"[]{}:,\"-0e9"[rng.random_range(0..11)]),
                _ => body.truncate(at + 1),
            }
        }
        let mut request = format!(
            "POST /api/{name} HTTP/1.1\r\nHost: localhost:{}\r\nContent-Length: {}\r\n\r\n",
            explorer.port,
            body.len()
        )
        .into_bytes();
        request.extend(&body);
        if !whole {
            for _ in 0..rng.random_range(1..20) {
                let at = rng.random_range(0..request.len());
                request[at] = rng.random();
            }
        }
        let mut stream = explorer.connect();
        let _ = stream.write_all(&request); // it may have been refused already
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let status = answer.get(9..12).map(|status| String::from_utf8_lossy(status).into_owned());
        if whole {
            let status = status.expect("an answer");
            assert!(
                ["200", "400", "404"].contains(&status.as_str()),
                "{name} {}: {status}",
                String::from_utf8_lossy(&body)
            );
        } else if let Some(status) = status {
            assert_ne!(status, "500", "{}", String::from_utf8_lossy(&request));
        }
    }
    assert!(explorer.info()["version"].is_string());
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_it() {
    let mut explorer = Explorer::start(&[]);
    let held = explorer.connect();
    let pid = explorer.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let start = Instant::now();
    let status = explorer.child.wait().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5));
    drop(held);
}
