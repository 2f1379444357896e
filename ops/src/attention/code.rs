//! The one spelling of a mechanism, shared by the command line, configurations and reports.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which of the four energy terms of Transformer attention are on, written `b1b2b3b4`.
///
/// ```
/// use termwise_ops::attention::Terms;
/// let terms: Terms = "0110".parse().unwrap();
/// assert!(terms.query_position && terms.key && !terms.query_key && !terms.position);
/// assert_eq!(terms.to_string(), "0110");
/// assert!(terms.uses_query() && terms.uses_key() && terms.uses_position());
/// assert_eq!(Terms::all().filter(|terms| !terms.uses_position()).count(), 4); // 0000, 0010, 1000, 1010
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// E1: query content and key content.
    pub query_key: bool,
    /// E2: query content and relative position.
    pub query_position: bool,
    /// E3: key content only.
    pub key: bool,
    /// E4: relative position only.
    pub position: bool,
}

impl Terms {
    /// All sixteen switch patterns, `0000` to `1111`.
    pub fn all() -> impl Iterator<Item = Terms> {
        (0..16).map(|bits| Terms::from_flags([bits & 8 != 0, bits & 4 != 0, bits & 2 != 0, bits & 1 != 0]))
    }

    /// From the switches `[b1, b2, b3, b4]`.
    pub fn from_flags([query_key, query_position, key, position]: [bool; 4]) -> Self {
        Terms { query_key, query_position, key, position }
    }

    /// The switches `[b1, b2, b3, b4]`.
    pub fn flags(self) -> [bool; 4] {
        [self.query_key, self.query_position, self.key, self.position]
    }

    /// Whether the query projection `U` is needed (E1 or E2).
    pub fn uses_query(self) -> bool {
        self.query_key || self.query_position
    }

    /// Whether the key projection `V^C` is needed (E1 or E3).
    pub fn uses_key(self) -> bool {
        self.query_key || self.key
    }

    /// Whether the position projection `V^R` is needed (E2 or E4).
    pub fn uses_position(self) -> bool {
        self.query_position || self.position
    }
}

impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.flags().iter().map(|&on| if on { '1' } else { '0' }).collect();
        f.pad(&text)
    }
}

/// A text that names no mechanism.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCode(String);

impl fmt::Display for UnknownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown attention code '{}': expected four switches 0000 to 1111, w/o, regular, deformable, dynamic, \
             or one of them with '+deformable' (as 0010+deformable)",
            self.0
        )
    }
}

impl std::error::Error for UnknownCode {}

impl FromStr for Terms {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        match text.as_bytes() {
            [a, b, c, d] if [a, b, c, d].iter().all(|bit| matches!(**bit, b'0' | b'1')) => {
                Ok(Terms::from_flags([*a == b'1', *b == b'1', *c == b'1', *d == b'1']))
            }
            _ => Err(UnknownCode(text.to_owned())),
        }
    }
}

/// The module that sits after the spatial convolution of an attended residual block (or in the
/// place of self-attention in a sentence).
///
/// ```
/// use termwise_ops::attention::{AttentionCode, AttentionModule, Terms};
/// let module = |code: &str| code.parse::<AttentionCode>().unwrap().module;
/// let terms = Terms::from_flags([false, false, true, false]);
/// assert_eq!(module("0010"), AttentionModule::Transformer(terms));
/// assert_eq!(module("0010+dynamic"), AttentionModule::DynamicTransformer(terms));
/// assert_eq!((module("deformable"), module("dynamic").terms()), (AttentionModule::None, None));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttentionModule {
    /// No module: "w/o" in the paper.
    None,
    /// Transformer attention with the given terms. `0000`, uniform averaging, is a module too.
    Transformer(Terms),
    /// Dynamic convolution.
    Dynamic,
    /// Dynamic convolution, and Transformer attention with the given terms behind it.
    DynamicTransformer(Terms),
}

impl AttentionModule {
    /// The terms of its Transformer attention, where it has any.
    pub fn terms(self) -> Option<Terms> {
        match self {
            AttentionModule::Transformer(terms) | AttentionModule::DynamicTransformer(terms) => Some(terms),
            AttentionModule::None | AttentionModule::Dynamic => None,
        }
    }

    /// Whether dynamic convolution is part of it.
    pub fn is_dynamic(self) -> bool {
        matches!(self, AttentionModule::Dynamic | AttentionModule::DynamicTransformer(_))
    }
}

/// A mechanism, or a combination of several.
///
/// Written as one string, the same everywhere:
///
/// | code | attention module | spatial convolution |
/// |---|---|---|
/// | `w/o` or `regular` | none | regular |
/// | `0000` .. `1111` | Transformer attention | regular |
/// | `dynamic` | dynamic convolution | regular |
/// | `deformable` | none | deformable |
/// | `0010+dynamic` | dynamic convolution, then Transformer attention | regular |
/// | `0010+deformable`, `dynamic+deformable`, `0010+dynamic+deformable` | as named | deformable |
///
/// ```
/// use termwise_ops::attention::AttentionCode;
/// let code: AttentionCode = "0010+deformable".parse().unwrap();
/// assert!(code.deformable);
/// assert_eq!(code.to_string(), "0010+deformable");
/// assert!("0012".parse::<AttentionCode>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttentionCode {
    /// What comes after the spatial convolution.
    pub module: AttentionModule,
    /// Whether the spatial convolution is deformable instead of regular.
    pub deformable: bool,
}

impl FromStr for AttentionCode {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let unknown = || UnknownCode(text.to_owned());
        let (base, deformable) = match text.strip_suffix("+deformable") {
            Some("deformable") => return Err(unknown()),
            Some(base) => (base, true),
            None if text == "deformable" => ("w/o", true),
            None => (text, false),
        };
        let terms = |switches: &str| switches.parse::<Terms>().map_err(|_| unknown());
        let module = match (base, base.strip_suffix("+dynamic")) {
            ("w/o" | "regular", _) => AttentionModule::None,
            ("dynamic", _) => AttentionModule::Dynamic,
            (_, Some(switches)) => AttentionModule::DynamicTransformer(terms(switches)?),
            (switches, None) => AttentionModule::Transformer(terms(switches)?),
        };
        Ok(AttentionCode { module, deformable })
    }
}

impl fmt::Display for AttentionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = match self.module {
            AttentionModule::None if self.deformable => return f.pad("deformable"),
            AttentionModule::None => "w/o".to_owned(),
            AttentionModule::Transformer(terms) => terms.to_string(),
            AttentionModule::Dynamic => "dynamic".to_owned(),
            AttentionModule::DynamicTransformer(terms) => format!("{terms}+dynamic"),
        };
        f.pad(&if self.deformable { format!("{base}+deformable") } else { base })
    }
}

impl Serialize for AttentionCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AttentionCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_as_it_is_written() {
        let mut codes = vec!["w/o".to_owned(), "deformable".to_owned(), "dynamic".to_owned()];
        codes.push("dynamic+deformable".to_owned());
        for terms in Terms::all() {
            codes.push(terms.to_string());
            let more = ["deformable", "dynamic", "dynamic+deformable"];
            codes.extend(more.map(|more| format!("{terms}+{more}")));
        }
        assert_eq!(codes.len(), 68);
        for text in codes {
            assert_eq!(text.parse::<AttentionCode>().unwrap().to_string(), text);
        }
        assert_eq!("regular+deformable".parse::<AttentionCode>().unwrap().to_string(), "deformable");
    }

    #[test]
    fn what_is_no_code_is_refused_by_name() {
        for text in [
            "",
            "011",
            "01100",
            "0120",
            "deformable+0010",
            "0010+",
            "deformable+deformable",
            "Dynamic",
            "0010+deformable+dynamic",
            "dynamic+dynamic",
            "w/o+dynamic",
        ] {
            let message = text.parse::<AttentionCode>().unwrap_err().to_string();
            assert!(message.contains(&format!("'{text}'")), "{message}");
        }
    }
}
