//! What is compared: a task, and how its attention is made.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use termwise_models::translation::CrossTerms;
use termwise_ops::attention::AttentionCode;

/// One of the paper's three tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Pictures to a class for each pixel; measured by mean IoU.
    Segmentation,
    /// Pictures to boxes with classes; measured by AP.
    Detection,
    /// Sentences to sentences; measured by BLEU of lower-cased text.
    Translation,
}

impl TaskKind {
    /// All of them.
    pub const ALL: [TaskKind; 3] = [TaskKind::Segmentation, TaskKind::Detection, TaskKind::Translation];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            TaskKind::Segmentation => "segmentation",
            TaskKind::Detection => "detection",
            TaskKind::Translation => "translation",
        }
    }

    /// What its score is called.
    pub fn metric(self) -> &'static str {
        match self {
            TaskKind::Segmentation => "mean IoU",
            TaskKind::Detection => "AP",
            TaskKind::Translation => "BLEU",
        }
    }

    /// Whether it is about images.
    pub fn is_visual(self) -> bool {
        self != TaskKind::Translation
    }
}

impl fmt::Display for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for TaskKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = TaskKind::ALL.into_iter().find(|task| task.name() == text);
        found.ok_or_else(|| format!("expected one of {}", TaskKind::ALL.map(TaskKind::name).join(", ")))
    }
}

/// How the attention of a network is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Configuration {
    /// The mechanism; in translation that of self-attention.
    pub attention: AttentionCode,
    /// Whether it sees no further than dynamic convolution would.
    pub limit_range: bool,
    /// The terms of encoder-decoder attention, in translation.
    pub cross: CrossTerms,
}

impl Configuration {
    /// With both terms of encoder-decoder attention and no limit.
    pub fn new(attention: AttentionCode) -> Self {
        Configuration { attention, limit_range: false, cross: full_cross() }
    }

    /// Whether a task can have it: encoder-decoder attention is part of translation alone.
    pub fn fits(&self, task: TaskKind) -> bool {
        !task.is_visual() || self.cross == full_cross()
    }
}

fn full_cross() -> CrossTerms {
    "1010".parse().expect("terms of encoder-decoder attention")
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limited = if self.limit_range { " limited" } else { "" };
        let cross = if self.cross == full_cross() { String::new() } else { format!(" x {}", self.cross) };
        f.pad(&format!("{}{limited}{cross}", self.attention))
    }
}

impl FromStr for Configuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (own, cross) = match text.split_once(" x ") {
            Some((own, cross)) => (own, cross.parse().map_err(|error| format!("{error}"))?),
            None => (text, full_cross()),
        };
        let (code, limit_range) = own.strip_suffix(" limited").map_or((own, false), |code| (code, true));
        let attention: AttentionCode = code.parse().map_err(|error| format!("{error}"))?;
        if limit_range && attention.module.terms().is_none() {
            return Err(format!("'{text}': only Transformer attention can be limited"));
        }
        Ok(Configuration { attention, limit_range, cross })
    }
}

impl Serialize for Configuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Configuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_written_as_they_are_read() {
        for text in [
            "w/o",
            "0100",
            "0100 limited",
            "1111 x 1000",
            "0110 limited x 0000",
            "0010+deformable",
            "dynamic",
        ] {
            assert_eq!(text.parse::<Configuration>().unwrap().to_string(), text);
        }
        assert_eq!("1111 x 1010".parse::<Configuration>().unwrap().to_string(), "1111");
        assert!(!"1111 x 1000".parse::<Configuration>().unwrap().fits(TaskKind::Detection));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (text, expected) in [
            ("0120", "0120"),
            ("1111 x 0100", "E2 and E4 need a relative position"),
            ("dynamic limited", "only Transformer attention can be limited"),
        ] {
            let error = text.parse::<Configuration>().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
