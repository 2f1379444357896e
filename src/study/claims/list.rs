//! The six claims. Their criteria were written down before any run, and are not to be adjusted to one.

use super::{Claim, Criterion};
use crate::study::{Configuration, TaskKind};

/// The claims F1 to F6.
pub fn claims() -> Vec<Claim> {
    use TaskKind::{Detection, Segmentation, Translation};
    let (all, images, text) = (TaskKind::ALL.to_vec(), vec![Segmentation, Detection], vec![Translation]);
    vec![
        Claim {
            id: "F1",
            title: "Self-attention hardly needs the terms that look at the query",
            text: "In self-attention the two terms that depend on the query's content (E1: query and key content; E2: \
                   query content and relative position) add little to the two that do not (E3: key content; E4: \
                   relative position). Without E1, and even without both, the network is about as good.",
            criteria: vec![(at_most("1111", "0111"), all.clone()), (at_most("1111", "0011"), all.clone())],
            beside: Vec::new(),
        },
        Claim {
            id: "F2",
            title: "Encoder-decoder attention lives on query and key content",
            text: "Where the decoder attends to the encoder it is the other way round: without the comparison of query \
                   and key content (E1) translation collapses, and with it alone it is about as good as with key \
                   content (E3) beside it. A configuration is written with its encoder-decoder terms after the x.",
            criteria: vec![
                (above("1111", "1111 x 0010", 5.0), text.clone()),
                (within("1111", "1111 x 1000"), text.clone()),
            ],
            beside: Vec::new(),
        },
        Claim {
            id: "F3",
            title: "In self-attention, query content with position and key content suffice",
            text: "Of the four terms of self-attention, E2 (query content and relative position) and E3 (key content) \
                   matter most: these two are about as good as all four.",
            criteria: vec![(at_most("1111", "0110"), all)],
            beside: Vec::new(),
        },
        Claim {
            id: "F4",
            title: "Deformable convolution beats attention by query content and position on images, and equals it in text",
            text: "Deformable convolution depends on the same factors as E2, query content and relative position, but \
                   looks at few places. On images it is more accurate than E2 and costs less; in translation the two \
                   are on par.",
            criteria: vec![
                (above("deformable", "0100", 0.0), images.clone()),
                (cheaper("deformable", "0100"), images.clone()),
                (within("deformable", "0100"), text.clone()),
            ],
            beside: Vec::new(),
        },
        Claim {
            id: "F5",
            title: "On images, key content with deformable convolution gives the most for its cost",
            text: "Deformable convolution together with attention by key content alone (E3) is about as accurate as \
                   with all four terms and far cheaper, and nothing that costs as little is better.",
            criteria: vec![
                (at_most("1111+deformable", "0010+deformable"), images.clone()),
                (cheaper("0010+deformable", "1111+deformable"), images.clone()),
                (Criterion::BestForCost { a: code("0010+deformable") }, images.clone()),
            ],
            beside: Vec::new(),
        },
        Claim {
            id: "F6",
            title: "Dynamic convolution equals attention by query content and position in text, and falls behind it on images",
            text: "Dynamic convolution depends on query content and relative position as E2 does, within a small \
                   window. In translation it is on par with E2 at lower cost; on images it falls behind. Beside it, \
                   without a part in the verdict: E2 limited to the same window, which tells the mechanism from its \
                   reach.",
            criteria: vec![
                (within("dynamic", "0100"), text.clone()),
                (cheaper("dynamic", "0100"), text.clone()),
                (above("0100", "dynamic", 0.0), images.clone()),
            ],
            beside: vec![
                ((code("dynamic"), code("0100 limited")), text),
                ((code("0100 limited"), code("dynamic")), images),
            ],
        },
    ]
}

fn code(text: &str) -> Configuration {
    text.parse().expect("a configuration")
}

fn at_most(a: &str, b: &str) -> Criterion {
    Criterion::AtMost { a: code(a), b: code(b) }
}

fn within(a: &str, b: &str) -> Criterion {
    Criterion::Within { a: code(a), b: code(b) }
}

fn above(a: &str, b: &str, by: f64) -> Criterion {
    Criterion::Above { a: code(a), b: code(b), by }
}

fn cheaper(a: &str, b: &str) -> Criterion {
    Criterion::Cheaper { a: code(a), b: code(b) }
}
