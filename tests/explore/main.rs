//! `termwise explore` as a browser, a careless program and an ill-meaning page see it: over plain connections.

mod client;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use client::{Explorer, head_and_body};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use termwise::autograd::{Array, Cpu, Tape, Var};
use termwise::datasets::probe::ProbeTask;
use termwise::models::probe::{ProbeConfig, ProbeTraining};
use termwise::ops::attention::{
    AttentionMaps, Lattice, Operands, Terms, Visibility, transformer_attention_with_maps,
};
use termwise::prelude::linear;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list")).iter().map(|v| v.as_f64().unwrap()).collect()
}

fn close(name: &str, found: &[f64], expected: &[f64], bound: f64) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= bound * expected.abs().max(1.0), "{name} {i}: {found}, expected {expected}");
    }
}

/// The op over all queries of a layer that the server described, in one call on the layer's own lattice.
fn by_the_op(layer: &Value, terms: Terms) -> (Var<Cpu<f64>>, AttentionMaps<Cpu<f64>>) {
    let whole = |name: &str| layer[name].as_u64().unwrap() as usize;
    let tape = Tape::inference(Cpu::<f64>::new());
    let var = |name: &str, shape: &[usize]| {
        (!layer[name].is_null()).then(|| tape.constant(Array::host(shape, numbers(&layer[name]))))
    };
    let (queries, keys, d) = (whole("queries"), whole("keys"), whole("head_dim"));
    let image = layer["kind"] == "image";
    let lattice = if image {
        Lattice::Image { height: whole("height"), width: whole("width"), query_stride: 1, key_stride: 1 }
    } else {
        Lattice::Sequence { queries, keys }
    };
    let (x, y) = (lattice.x_index(), lattice.y_index());
    let tables = if image {
        vec![(var("position_x", &[x.rows, d]), x), (var("position_y", &[y.rows, d]), y)]
    } else {
        vec![(var("position", &[x.rows, d]), x)]
    };
    let (query, key) = (var("query", &[1, queries, d]), var("key", &[1, keys, d]));
    let value = var("value", &[1, keys, whole("value_dim")]).unwrap();
    let (u, v) = (var("u", &[1, d]), var("v", &[1, d]));
    let operands = Operands {
        query: query.as_ref(),
        key: key.as_ref(),
        value: &value,
        positions: tables.iter().filter_map(|(table, index)| Some((table.as_ref()?, index.clone()))).collect(),
        key_bias: u.as_ref(),
        position_bias: v.as_ref(),
    };
    let causal = layer["causal"].as_bool().unwrap_or(false);
    let visibility = Visibility { causal, ..Visibility::default() };
    let scale = layer["scale"].as_f64().unwrap();
    let (output, maps) = transformer_attention_with_maps(&operands, terms, 1, scale, lattice, &visibility);
    let matrix = var("output_matrix", &[whole("channels"), whole("value_dim")]).unwrap();
    let bias = var("output_bias", &[whole("channels")]);
    (linear(&output, &matrix, bias.as_ref()), maps)
}

/// Holds `attend` of a source to the op, for some terms and queries.
fn hold_to_the_op(explorer: &Explorer, question: &Value, codes: &[&str], queries: &[[usize; 2]]) {
    let layer = explorer.ask("layer", question);
    let keys = layer["keys"].as_u64().unwrap() as usize;
    let width = if layer["kind"] == "image" { layer["width"].as_u64().unwrap() as usize } else { 1 };
    let has: Terms = layer["terms"].as_str().unwrap().parse().unwrap();
    let (_, all) = by_the_op(&layer, has);
    for code in codes {
        let terms: Terms = code.parse().unwrap();
        let (output, maps) = by_the_op(&layer, terms);
        for query in queries {
            let mut question = question.clone();
            question["terms"] = json!(code);
            question["query"] = json!(query);
            let answer = explorer.ask("attend", &question);
            let q = query[0] * width + query[1];
            let row = |map: &Array<Cpu<f64>>| {
                let rows = map.shape()[2];
                let from = if rows == 1 { 0 } else { q * keys };
                map.as_slice()[from..from + keys].to_vec()
            };
            for (i, energies) in all.energies.iter().enumerate() {
                match energies {
                    Some(energies) => {
                        close(&format!("{code} E{}", i + 1), &numbers(&answer["energies"][i]), &row(energies), 1e-12);
                    }
                    None => assert!(answer["energies"][i].is_null()),
                }
            }
            close("weights", &numbers(&answer["weights"]), &row(&maps.weights), 1e-12);
            let channels = output.shape()[2];
            let expected = &output.value().as_slice()[q * channels..(q + 1) * channels];
            close("output", &numbers(&answer["output"]), expected, 1e-12);
        }
    }
}

#[test]
fn attend_is_what_the_op_computes() {
    let explorer = Explorer::start(&[]);
    for (name, size) in [("arrows", 9), ("colours", 1), ("shapes", 32)] {
        let scene = explorer.ask("scene", &json!({"name": name, "size": size, "seed": 5}));
        let question = json!({"source": {"kind": "lesson"}, "scene": scene, "head": 0});
        let last = size - 1;
        let codes: Vec<String> = Terms::all().map(|terms| terms.to_string()).collect();
        let codes: Vec<&str> = codes.iter().map(String::as_str).collect();
        hold_to_the_op(&explorer, &question, &codes, &[[0, 0], [last, last / 2]]);
    }
    // A scene that is no square.
    let scene = json!({"height": 2, "width": 3, "rgb": vec![200; 18], "arrows": [0, 1, 2, 3, 4, 0]});
    let question = json!({"source": {"kind": "lesson"}, "scene": scene});
    hold_to_the_op(&explorer, &question, &["1111", "0101"], &[[0, 2], [1, 0]]);
}

#[test]
fn the_backward_view_agrees_with_differences_of_the_loss() {
    let explorer = Explorer::start(&[]);
    let scene = explorer.ask("scene", &json!({"name": "arrows", "size": 5, "seed": 1}));
    let question = json!({"source": {"kind": "lesson"}, "scene": scene, "terms": "1111", "query": [2, 2], "target": [255, 0, 0]});
    let answer = explorer.ask("attend", &question);
    let (values, energies) = {
        let layer = explorer.ask("layer", &json!({"source": {"kind": "lesson"}, "scene": scene}));
        (Array2::from_shape_vec((25, 3), numbers(&layer["value"])).unwrap(), numbers(&answer["sum"]))
    };
    // By hand: softmax, mix, half the squared distance.
    let loss = |energies: &[f64]| {
        let exps: Vec<f64> = energies.iter().map(|e| e.exp()).collect();
        let sum: f64 = exps.iter().sum();
        let target = [1.0, 0.0, 0.0];
        let output = |c: usize| (0..25).map(|k| exps[k] / sum * values[[k, c]]).sum::<f64>();
        (0..3).map(|c| (output(c) - target[c]).powi(2) / 2.0).sum::<f64>()
    };
    assert!((answer["backward"]["loss"].as_f64().unwrap() - loss(&energies)).abs() < 1e-12);
    let found = numbers(&answer["backward"]["grad_energies"]);
    for k in 0..25 {
        let moved = |step: f64| {
            let mut energies = energies.clone();
            energies[k] += step;
            loss(&energies)
        };
        let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        assert!((found[k] - expected).abs() < 1e-8, "{k}: {}, expected {expected}", found[k]);
    }
    let weights = numbers(&answer["backward"]["grad_weights"]);
    let output = numbers(&answer["backward"]["grad_output"]);
    let by_hand: Vec<f64> = (0..25).map(|k| (0..3).map(|c| output[c] * values[[k, c]]).sum()).collect();
    close("weights", &weights, &by_hand, 1e-12);
    let check = explorer.ask("gradcheck", &json!({"source": {"kind": "lesson"}, "scene": scene, "terms": "1111"}));
    assert_eq!(check["status"], "PASS", "{check}");
}

#[test]
fn a_tap_is_the_mix_of_its_four_corners_and_the_kink_is_seen() {
    let explorer = Explorer::start(&[]);
    let scene = explorer.ask("scene", &json!({"name": "arrows", "size": 6, "seed": 2}));
    let mut offsets = vec![[0.3, -0.4]; 9];
    offsets[2] = [-2.75, 1.5]; // partly outside
    let question = json!({"scene": scene, "query": [1, 4], "offsets": offsets, "target": [0, 255, 0]});
    let answer = explorer.ask("deformable", &question);
    let rgb = numbers(&scene["rgb"]);
    let mut output = [0.0; 3];
    for tap in answer["taps"].as_array().unwrap() {
        let mut sampled = [0.0; 3];
        for corner in tap["corners"].as_array().unwrap() {
            if corner["inside"] == true {
                let cell = corner["row"].as_u64().unwrap() * 6 + corner["col"].as_u64().unwrap();
                for (c, sampled) in sampled.iter_mut().enumerate() {
                    *sampled += corner["weight"].as_f64().unwrap() * rgb[3 * cell as usize + c] / 255.0;
                }
            }
        }
        close("sampled", &numbers(&tap["sampled"]), &sampled, 1e-12);
        let weight = tap["kernel_weight"].as_f64().unwrap();
        (0..3).for_each(|c| output[c] += weight * sampled[c]);
    }
    close("output", &numbers(&answer["output"]), &output, 1e-12);

    let mut scan = question.clone();
    for (name, value) in [("tap", json!(4)), ("axis", json!(1)), ("from", json!(-0.5)), ("to", json!(0.5)), ("count", json!(101))] {
        scan[name] = value;
    }
    let scan = explorer.ask("deformable_scan", &scan);
    let (loss, grad) = (numbers(&scan["loss"]), numbers(&scan["grad"]));
    for i in (1..100).filter(|i| !(48..=51).contains(i)) {
        let slope = (loss[i + 1] - loss[i - 1]) / 0.02;
        assert!((slope - grad[i]).abs() < 1e-9, "{i}: {slope} {}", grad[i]);
    }
    assert!((grad[49] - grad[51]).abs() > 1e-4, "no kink at the whole number: {} {}", grad[49], grad[51]);
    let dynamic = explorer.ask("dynamic", &json!({"scene": scene, "query": [1, 4]}));
    assert!((numbers(&dynamic["kernel"]).iter().sum::<f64>() - 1.0).abs() < 1e-12);
}

#[test]
fn rows_of_the_matrix_of_attention_add_up_to_one() {
    let explorer = Explorer::start(&[]);
    let scene = explorer.ask("scene", &json!({"name": "stripes", "size": 4, "seed": 2}));
    let info = explorer.info();
    assert_eq!(info["mechanisms"].as_array().unwrap().len(), 23);
    for mechanism in info["mechanisms"].as_array().unwrap() {
        let code = mechanism["code"].as_str().unwrap();
        let answer = explorer.ask("matrix", &json!({"scene": scene, "mechanism": code}));
        let weights = numbers(&answer["weights"]);
        assert_eq!(weights.len(), 256);
        let parts: f64 = answer["flops_parts"].as_array().unwrap().iter().map(|p| p["value"].as_f64().unwrap()).sum();
        assert_eq!(answer["flops"].as_f64().unwrap(), parts, "{code}");
        for row in weights.chunks_exact(16) {
            let sum: f64 = row.iter().sum();
            let attention = mechanism["kind"] == "transformer";
            assert!(if attention { (sum - 1.0).abs() < 1e-12 } else { sum < 1.0 + 1e-12 }, "{code}: {sum}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_curve_of_the_trainer_bit_for_bit() {
    let explorer = Explorer::start(&[]);
    let new = json!({"action": "new", "task": "spotlight", "mechanism": "0010", "seed": 7});
    let mut curves = Vec::new();
    for count in [10, 25] {
        let session = explorer.ask("train", &new)["session"].clone();
        let mut losses = Vec::new();
        while losses.len() < 50 {
            let step = explorer.ask("train", &json!({"action": "step", "session": session, "count": count}));
            losses.extend(numbers(&step["losses"]));
        }
        curves.push(losses);
        let source = json!({"kind": "probe", "session": session, "sample": 2});
        hold_to_the_op(&explorer, &json!({"source": source, "head": 3}), &["0010", "0000"], &[[0, 0], [7, 3]]);
        let sample = explorer.ask("sample", &json!({"session": session, "index": 2}));
        assert_eq!(sample["targets"].as_array().unwrap().len(), 64);
    }
    assert_eq!(curves[0], curves[1]);
    let config = ProbeConfig::default();
    let mut training = ProbeTraining::new("0010".parse().unwrap(), ProbeTask::Spotlight, 7, &config);
    let expected: Vec<f64> = (0..50).map(|_| training.step().loss).collect();
    assert_eq!(curves[0], expected);
    // Four are kept; the first one was not used for longest.
    (0..3).for_each(|_| drop(explorer.ask("train", &new)));
    let (status, answer) = explorer.try_ask("train", &json!({"action": "step", "session": 1, "count": 1}));
    assert_eq!(status, 404);
    assert!(answer["error"].as_str().unwrap().starts_with("session: expected one that is kept"), "{answer}");
    let (status, _) = explorer.try_ask("train", &json!({"action": "step", "session": 2, "count": 1}));
    assert_eq!(status, 200);
}

#[test]
fn a_sentence_is_translated_and_its_attention_is_that_of_the_op() {
    let explorer = Explorer::start(&[]);
    let translator = explorer.info()["translator"].clone();
    let text = translator["example"].as_str().unwrap();
    let sentence = explorer.ask("sentence", &json!({"text": text}));
    assert!(sentence["translation"].as_str().unwrap().split(' ').count() > 3, "{sentence}");
    for block in translator["blocks"].as_array().unwrap() {
        let source = json!({"kind": "text", "block": block["name"], "text": text});
        let terms = block["terms"].as_str().unwrap();
        hold_to_the_op(&explorer, &json!({"source": source, "head": 1}), &[terms, "0010"], &[[0, 0], [3, 0]]);
    }
}

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
    for other in ["Origin: http://evil.example", "Origin: null", "Origin: http://127.0.0.1:1", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"] {
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
    for scheme in ["http://", "https://"] {
        for (at, _) in page.match_indices(scheme) {
            let rest = &page[at + scheme.len()..];
            let names = ["127.0.0.1", "localhost", "www.w3.org/2000/svg", "www.w3.org/1999/xhtml", "www.w3.org/1999/xlink"];
            assert!(names.iter().any(|name| rest.starts_with(name)), "{}", &page[at..page.len().min(at + 60)]);
        }
    }
    for word in ["src=\"//", "@import", "<!-- style -->", "<!-- scripts -->", "<!-- embedded -->"] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("<style>") && page.matches("<script>").count() > 5);
}

#[test]
fn what_is_wrong_is_said_in_one_sentence() {
    let explorer = Explorer::start(&[]);
    let scene = json!({"height": 1, "width": 2, "rgb": [0, 0, 0, 9, 9, 9], "arrows": [0, 0]});
    let lesson = json!({"kind": "lesson"});
    let cases = [
        ("scene", json!({"name": "nowhere"}), "name: expected one of arrows, colours, spotlight, stripes, shapes, found 'nowhere'"),
        ("scene", json!({"name": "arrows", "size": 33}), "size: expected a whole number from 1 to 32, found 33"),
        ("scene", json!({"name": "arrows", "sise": 3}), "question: expected the fields name, size, seed, found 'sise'"),
        ("scene", json!([]), "question: expected an object, found a list of 0"),
        ("layer", json!({"source": lesson}), "scene: expected a value, found nothing"),
        ("layer", json!({"source": lesson, "scene": {"height": 1, "width": 2, "rgb": [0]}}), "scene.rgb: expected a list of 6 whole numbers from 0 to 255, found a list of 1"),
        ("layer", json!({"source": lesson, "scene": {"height": 1, "width": 1, "rgb": [0, 256, 0]}}), "scene.rgb[1]: expected a whole number from 0 to 255, found 256"),
        ("layer", json!({"source": {"kind": "checkpoint", "block": "x"}, "scene": scene}), "source.kind: expected a checkpoint to be loaded, found none"),
        ("attend", json!({"source": lesson, "scene": scene, "query": [0, 2]}), "query: expected [row, column] inside of 1 x 2, found [0, 2]"),
        ("attend", json!({"source": lesson, "scene": scene, "query": [0, 0], "terms": "0120"}), "terms: unknown attention code '0120': expected four switches 0000 to 1111, w/o, regular, deformable, dynamic, or one of them with '+deformable' (as 0010+deformable)"),
        ("deformable", json!({"scene": scene, "query": [0, 0], "offsets": [[0, 1e9]]}), "offsets: expected 9 pairs [dy, dx] from -64 to 64, found a list of 1"),
        ("train", json!({"action": "fly"}), "action: expected new or step, found 'fly'"),
        ("sentence", json!({"text": "  "}), "text: expected a sentence, found nothing"),
    ];
    for (name, question, expected) in cases {
        let (status, answer) = explorer.try_ask(name, &question);
        assert_eq!((status, answer["error"].as_str().unwrap()), (400, expected), "{name} {question}");
    }
    for (name, bytes) in [("picture", &b"GIF89a"[..]), ("checkpoint", b"{}"), ("checkpoint", b""), ("layer", b"{\"a\""), ("layer", b"\xff")] {
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
    for (name, length) in [("layer", "5000000"), ("picture", "999999999999999"), ("checkpoint", "99999999999999999999999")] {
        let head = format!("POST /api/{name} HTTP/1.1\r\nHost: localhost:{}\r\nContent-Length: {length}\r\n\r\n", explorer.port);
        assert_eq!(explorer.raw(head.as_bytes()).0, 413, "{name}");
    }
    let long = format!("GET / HTTP/1.1\r\nHost: localhost:{}\r\nX: {}\r\n\r\n", explorer.port, "x".repeat(40_000));
    assert_eq!(explorer.raw(long.as_bytes()).0, 431);
    let chunked = format!("POST /api/layer HTTP/1.1\r\nHost: localhost:{}\r\nTransfer-Encoding: chunked\r\n\r\n", explorer.port);
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
    assert!(answer["error"].as_str().unwrap().contains("of at most 16777216 pixels, found one of 5000 x 5000"), "{answer}");
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
    let half = format!("POST /api/layer HTTP/1.1\r\nHost: localhost:{}\r\nContent-Length: 50\r\n\r\n{{", explorer.port);
    let mut held = Vec::new();
    for i in 0..20 {
        let mut stream = explorer.connect();
        stream.write_all(if i % 2 == 0 { half.as_bytes() } else { b"GET / HT" }).unwrap();
        held.push(stream);
    }
    for _ in 0..20 {
        // Asks and leaves.
        let mut stream = explorer.connect();
        stream.write_all(format!("GET / HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", explorer.port).as_bytes()).unwrap();
    }
    let start = Instant::now();
    assert!(explorer.info()["version"].is_string());
    assert!(start.elapsed() < Duration::from_secs(3));
    // More than it serves at a time: the last ones are told so, and when the others have left it serves again.
    held.extend((0..40).map(|_| explorer.connect()));
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
    let question = json!({"source": source, "scene": scene, "terms": "1111", "query": [1, 1], "target": [1, 2, 3]}).to_string();
    let names = ["scene", "layer", "attend", "gradcheck", "deformable", "deformable_scan", "dynamic", "matrix", "train", "sample", "sentence", "picture", "checkpoint"];
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
        let mut request = format!("POST /api/{name} HTTP/1.1\r\nHost: localhost:{}\r\nContent-Length: {}\r\n\r\n", explorer.port, body.len()).into_bytes();
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
            assert!(["200", "400", "404"].contains(&status.as_str()), "{name} {}: {status}", String::from_utf8_lossy(&body));
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
