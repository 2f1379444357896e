//! Networks from checkpoints, and the page in a file.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use termwise::autograd::{Array, Cpu, Tape};
use termwise::models::Init;
use termwise::models::checkpoint::{Checkpoint, save};
use termwise::models::segmentation::{SegmentationTask, Segmenter, SegmenterConfig};

use crate::client::Explorer;
use crate::{close, hold_to_the_op, numbers, only_own_addresses};

fn config() -> SegmenterConfig {
    SegmenterConfig {
        task: SegmentationTask::Segmentation,
        attention: "1110+dynamic".parse().unwrap(),
        classes: ["a", "b"].map(String::from).to_vec(),
        ignore: 255,
        size: (32, 64),
        mean: [0.5, 0.4, 0.3],
        std: [0.2, 0.25, 0.5],
        width: 4,
        num_heads: 2,
        limit_range: false,
    }
}

fn checkpoint(path: &Path) {
    let segmenter = Segmenter::new(config(), &mut Init::new(Cpu::<f32>::new(), 3));
    save(path, segmenter.config(), &segmenter).unwrap();
}

#[test]
fn a_segmenter_is_looked_into_as_it_computes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    checkpoint(&path);
    // The folder of a training holds its checkpoint under this name.
    let explorer = Explorer::start(&[folder.path().to_str().unwrap()]);
    let info = explorer.info()["checkpoint"].clone();
    assert_eq!((&info["task"], &info["attention"]), (&json!("segmentation"), &json!("1110+dynamic")));
    assert_eq!(info["size"], json!([32, 64]));
    let (height, width) = (40, 24);
    let rgb: Vec<usize> = (0..3 * height * width).map(|i| i * 7919 % 256).collect();
    let scene = json!({"height": height, "width": width, "rgb": rgb});

    let segmenter = Segmenter::new(config(), &mut Init::new(Cpu::<f64>::new(), 0));
    Checkpoint::read(&path).unwrap().load(&segmenter).unwrap();
    let tape = Tape::inference(Cpu::<f64>::new());
    let cells = height * width;
    // As a picture is normalised for a network: in f32.
    let pixel = |i: usize| {
        let (c, cell) = (i / cells, i % cells);
        let value = rgb[3 * cell + c] as f32 / 255.0;
        f64::from((value - config().mean[c]) / config().std[c])
    };
    let images = tape.constant(Array::host(&[1, 3, height, width], (0..3 * cells).map(pixel).collect()));
    let expected = segmenter.attention_maps(&images);
    let blocks = info["blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), expected.len());
    for (block, module) in blocks.iter().zip(&expected) {
        assert_eq!((&block["name"], &block["terms"]), (&json!(module.name), &json!("1110")));
        for head in 0..2 {
            let source = json!({"kind": "checkpoint", "block": module.name});
            let question = json!({"source": source, "scene": scene, "head": head, "query": [1, 0]});
            let answer = explorer.ask("attend", &question);
            assert_eq!((&answer["height"], &answer["width"]), (&json!(module.size.0), &json!(module.size.1)));
            let keys = module.size.0 * module.size.1;
            let from = (head * keys + module.size.1) * keys;
            let weights = &module.maps.weights.as_slice()[from..from + keys];
            close(&module.name, &numbers(&answer["weights"]), weights, 1e-5);
        }
    }
    let source = json!({"kind": "checkpoint", "block": blocks[0]["name"]});
    hold_to_the_op(
        &explorer,
        &json!({"source": source, "scene": scene, "head": 1}),
        &["1110", "0100"],
        &[[1, 1]],
    );

    let (status, answer) = explorer
        .try_ask("layer", &json!({"source": {"kind": "checkpoint", "block": "stage 9"}, "scene": scene}));
    assert_eq!(status, 400);
    assert!(
        answer["error"].as_str().unwrap().starts_with("source.block: expected one of stage 2 block 1, "),
        "{answer}"
    );
    let (_, answer) = explorer.try_ask("layer", &json!({"source": source, "scene": scene, "head": 2}));
    assert_eq!(answer["error"], "head: expected 0 to 1, found 2");
}

#[test]
fn an_uploaded_checkpoint_is_looked_into_and_a_false_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    checkpoint(&path);
    let bytes = fs::read(&path).unwrap();
    let explorer = Explorer::start(&[]);
    assert_eq!(explorer.info()["checkpoint"], Value::Null);
    let (status, answer) = explorer.post("checkpoint", &bytes);
    assert_eq!((status, &answer["task"]), (200, &json!("segmentation")), "{answer}");
    assert_eq!(explorer.info()["checkpoint"], answer);

    let refused = |bytes: &[u8], expected: &str| {
        let (status, answer) = explorer.post("checkpoint", bytes);
        assert_eq!(status, 400, "{answer}");
        assert!(answer["error"].as_str().unwrap().contains(expected), "{answer}");
    };
    refused(&bytes[..bytes.len() - 1], "uploaded file: field header: expected a whole safetensors file");
    let edited = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let mut edited = bytes.clone();
        edited[at..at + from.len()].copy_from_slice(to.as_bytes());
        edited
    };
    refused(
        &edited(r#"\"segmentation\""#, r#"\"constellator\""#),
        "architecture.task: expected segmentation, detection or translation",
    );
    // A network that is far larger than its file is not built.
    refused(
        &edited(r#"\"size\":[32,64]"#, r#"\"size\":[32,31]"#),
        "architecture.size: expected a height and a width of 32 to 2048",
    );
    let wide = SegmenterConfig { width: 512, ..config() };
    save(&path, &wide, &Segmenter::new(config(), &mut Init::new(Cpu::<f32>::new(), 3))).unwrap();
    refused(&fs::read(&path).unwrap(), "architecture: expected a network that is in ");
    // The one before is still there.
    assert_eq!(explorer.info()["checkpoint"], answer);
}

fn termwise(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_termwise")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_page_in_a_file_holds_what_it_shows_and_asks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.html");
    let name = path.to_str().unwrap();
    assert_eq!(termwise(&["explore", "--export", name]), (Some(0), format!("{name}\n"), String::new()));
    let page = fs::read_to_string(&path).unwrap();
    only_own_addresses(&page);
    let policy = page.split("http-equiv=\"Content-Security-Policy\" content=\"").nth(1).unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{}", &policy[..80]);
    let data = page.split("<script type=\"application/json\" id=\"embedded\">").nth(1).unwrap();
    let data: Value = serde_json::from_str(data.split("</script>").next().unwrap()).unwrap();
    let run = &data["kept"]["training"]["runs"][0];
    assert_eq!(run["losses"].as_array().unwrap().len(), run["accuracies"].as_array().unwrap().len());
    assert_eq!((&run["seed"], &run["finished"]), (&json!(1), &json!(true)));
    let count = |name: &str| {
        let keys = data["answers"].as_object().unwrap().keys();
        keys.filter(|key| key.starts_with(&format!("{name} {{"))).count()
    };
    assert_eq!(
        [count("scene"), count("gradcheck"), count("matrix"), count("sentence"), count("sample")],
        [5, 16, 23, 1, 1]
    );
    assert!(data["layers"].as_object().unwrap().len() > 10);
    // The same file once more, to the byte but for how long the checks took.
    let scene = &data["answers"][r#"scene {"name":"arrows","seed":1,"size":16}"#];
    assert_eq!(scene["width"], 16);
    let key = format!("layer {}", json!({"head": 0, "scene": scene, "source": {"kind": "lesson"}}));
    assert_eq!(data["layers"][key]["keys"], 256);

    let missing = folder.path().join("absent").join("page.html");
    let (code, output, errors) = termwise(&["explore", "--export", missing.to_str().unwrap()]);
    assert_eq!((code, output.as_str(), errors.lines().count()), (Some(2), "", 1), "{errors}");
    let (code, _, errors) =
        termwise(&["explore", "--port", "0", folder.path().join("absent").to_str().unwrap()]);
    assert_eq!((code, errors.lines().count()), (Some(2), 1), "{errors}");
}
