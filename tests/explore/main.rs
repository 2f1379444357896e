//! `termwise explore` as a browser, a careless program and an ill-meaning page see it: over plain connections.
#![cfg(feature = "cli")]

mod client;
mod networks;
mod refusals;

use client::Explorer;
use ndarray::Array2;
use serde_json::{Value, json};
use termwise::autograd::{Array, Cpu, Tape, Var};
use termwise::datasets::probe::ProbeTask;
use termwise::models::probe::{ProbeConfig, ProbeTraining};
use termwise::ops::attention::{
    AttentionMaps, Lattice, Operands, Terms, Visibility, transformer_attention_with_maps,
};
use termwise::prelude::linear;

fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap_or_else(|| panic!("{value} is no list"))
        .iter()
        .map(|v| v.as_f64().unwrap())
        .collect()
}

fn close(name: &str, found: &[f64], expected: &[f64], bound: f64) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found - expected).abs() <= bound * expected.abs().max(1.0),
            "{name} {i}: {found}, expected {expected}"
        );
    }
}

/// A page may name this machine, and the names of markup languages, which nobody looks up.
fn only_own_addresses(page: &str) {
    for scheme in ["http://", "https://"] {
        for (at, _) in page.match_indices(scheme) {
            let rest = &page[at + scheme.len()..];
            let own = [
                "127.0.0.1",
                "localhost",
                "www.w3.org/2000/svg",
                "www.w3.org/1999/xhtml",
                "www.w3.org/1999/xlink",
            ];
            assert!(
                own.iter().any(|name| rest.starts_with(name)),
                "{:?}",
                page[at..].chars().take(60).collect::<String>()
            );
        }
    }
    for word in ["src=\"//", "@import", "<!-- style -->", "<!-- scripts -->", "<!-- embedded -->"] {
        assert!(!page.contains(word), "{word}");
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
        positions: tables
            .iter()
            .filter_map(|(table, index)| Some((table.as_ref()?, index.clone())))
            .collect(),
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
                        close(
                            &format!("{code} E{}", i + 1),
                            &numbers(&answer["energies"][i]),
                            &row(energies),
                            1e-12,
                        );
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
    let check =
        explorer.ask("gradcheck", &json!({"source": {"kind": "lesson"}, "scene": scene, "terms": "1111"}));
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
    for (name, value) in [
        ("tap", json!(4)),
        ("axis", json!(1)),
        ("from", json!(-0.5)),
        ("to", json!(0.5)),
        ("count", json!(101)),
    ] {
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
        let parts: f64 =
            answer["flops_parts"].as_array().unwrap().iter().map(|p| p["value"].as_f64().unwrap()).sum();
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
        hold_to_the_op(
            &explorer,
            &json!({"source": source, "head": 3}),
            &["0010", "0000"],
            &[[0, 0], [7, 3]],
        );
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
