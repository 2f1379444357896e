//! What is probed, and what each mechanism can be expected to do.

use std::fmt;
use std::str::FromStr;

use termwise_datasets::probe::ProbeTask;
use termwise_ops::attention::Terms;

/// A mechanism as it is probed: alone, one layer, nothing beside it.
///
/// ```
/// use termwise_datasets::probe::ProbeTask;
/// use termwise_models::probe::{Ability, ProbeMechanism};
/// assert_eq!(ProbeMechanism::all().len(), 16 + 3);
/// let mechanism: ProbeMechanism = "0010".parse().unwrap();
/// assert_eq!(mechanism.ability(ProbeTask::Spotlight), Ability::Can); // E3 finds what stands out ...
/// assert_eq!(mechanism.ability(ProbeTask::ShiftNear), Ability::Cannot); // ... but knows no places
/// assert_eq!(ProbeMechanism::Dynamic.ability(ProbeTask::PointFar), Ability::Cannot); // its window ends before
/// assert_eq!(
///     "1000".parse::<ProbeMechanism>().unwrap().explanation(),
///     "It finds the content that the query asks for (E1) and finds what stands out (E1); \
///      it cannot look where the query points or look at a fixed offset."
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbeMechanism {
    /// Transformer attention with the given terms.
    Transformer(Terms),
    /// Regular convolution, 3x3.
    Regular,
    /// Deformable convolution, 3x3.
    Deformable,
    /// Dynamic convolution, 3x3.
    Dynamic,
}

/// Whether a mechanism can solve a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// It has the factor that the task needs: accuracy at least [`Ability::SOLVED`].
    Can,
    /// It lacks the factor: accuracy below [`Ability::UNSOLVED`].
    Cannot,
    /// It can imitate the factor in part; nothing is claimed.
    Partly,
}

impl Ability {
    /// A solved cell reaches this accuracy.
    pub const SOLVED: f64 = 0.95;
    /// An unsolvable cell stays below this accuracy.
    pub const UNSOLVED: f64 = 0.60;

    /// Whether an accuracy is what this ability promises.
    ///
    /// ```
    /// use termwise_models::probe::Ability;
    /// assert!(Ability::Can.holds(0.95) && !Ability::Can.holds(0.94));
    /// assert!(Ability::Cannot.holds(0.59) && !Ability::Cannot.holds(0.60));
    /// assert!(Ability::Partly.holds(0.8));
    /// ```
    pub fn holds(self, accuracy: f64) -> bool {
        match self {
            Ability::Can => accuracy >= Self::SOLVED,
            Ability::Cannot => accuracy < Self::UNSOLVED,
            Ability::Partly => true,
        }
    }
}

impl ProbeMechanism {
    /// All nineteen, in the order of the table.
    pub fn all() -> Vec<ProbeMechanism> {
        let others = [ProbeMechanism::Regular, ProbeMechanism::Deformable, ProbeMechanism::Dynamic];
        Terms::all().map(ProbeMechanism::Transformer).chain(others).collect()
    }

    /// What theory says of this mechanism on `task`: content cannot find a place, position cannot find a
    /// content, and a convolution reaches no further than its window.
    pub fn ability(self, task: ProbeTask) -> Ability {
        let can = |yes| if yes { Ability::Can } else { Ability::Cannot };
        let near = matches!(task, ProbeTask::PointNear | ProbeTask::ShiftNear);
        match (self, task) {
            (ProbeMechanism::Regular, _) => can(task == ProbeTask::ShiftNear),
            (ProbeMechanism::Deformable | ProbeMechanism::Dynamic, _) => can(near),
            (ProbeMechanism::Transformer(t), ProbeTask::Match) => can(t.query_key),
            (ProbeMechanism::Transformer(t), ProbeTask::Spotlight) => can(t.query_key || t.key),
            (ProbeMechanism::Transformer(t), ProbeTask::ShiftNear | ProbeTask::ShiftFar) => {
                can(t.uses_position())
            }
            (ProbeMechanism::Transformer(t), ProbeTask::PointNear | ProbeTask::PointFar) => {
                if t.query_key && t.position && !t.query_position {
                    Ability::Partly
                } else {
                    can(t.query_position)
                }
            }
        }
    }

    /// The row of the table in a sentence.
    pub fn explanation(self) -> String {
        let terms = match self {
            ProbeMechanism::Regular => {
                return "A fixed 3x3 window: it copies from a fixed near place, and from nowhere else; it cannot choose.".into();
            }
            ProbeMechanism::Deformable => {
                return "The query moves the sampling points, so it follows a pointer to a near place; \
                        beyond its window no gradient shows the way."
                    .into();
            }
            ProbeMechanism::Dynamic => {
                return "The query writes the kernel, so it picks any place inside the 3x3 window and none outside.".into();
            }
            ProbeMechanism::Transformer(terms) => terms,
        };
        if terms.flags() == [false; 4] {
            return "Uniform averaging: no query, key or place differs from another, so it knows only how often each \
                    value occurs."
                .into();
        }
        let imitates = terms.query_key && terms.position && !terms.query_position;
        let pointing = if imitates {
            "imitates pointing in part (each head looks one fixed way by E4, and a query silences through E1 the heads \
             it does not want)"
        } else {
            "looks where the query points (E2)"
        };
        let either = |what: &str, [(a, on_a), (b, on_b)]: [(&str, bool); 2]| match (on_a, on_b) {
            (true, true) => format!("{what} ({a} or {b})"),
            (true, false) => format!("{what} ({a})"),
            _ => format!("{what} ({b})"),
        };
        let stands_out = either("finds what stands out", [("E1", terms.query_key), ("E3", terms.key)]);
        let offset =
            either("looks at a fixed offset", [("E2", terms.query_position), ("E4", terms.position)]);
        let abilities = [
            (terms.query_key, "finds the content that the query asks for (E1)", "match a query with a key"),
            (terms.query_key || terms.key, &stands_out, "find what stands out"),
            (terms.query_position || imitates, pointing, "look where the query points"),
            (terms.uses_position(), &offset, "look at a fixed offset"),
        ];
        let can: Vec<&str> = abilities.iter().filter(|a| a.0).map(|a| a.1).collect();
        let cannot: Vec<&str> = abilities.iter().filter(|a| !a.0).map(|a| a.2).collect();
        let mut sentence = format!("It {}", listed(&can, "and"));
        if !cannot.is_empty() {
            sentence += &format!("; it cannot {}", listed(&cannot, "or"));
        }
        sentence + "."
    }
}

/// "a, b and c".
fn listed(parts: &[&str], conjunction: &str) -> String {
    match parts {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} {conjunction} {last}", most.join(", ")),
    }
}

impl fmt::Display for ProbeMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProbeMechanism::Transformer(terms) => terms.fmt(f),
            ProbeMechanism::Regular => f.pad("regular"),
            ProbeMechanism::Deformable => f.pad("deformable"),
            ProbeMechanism::Dynamic => f.pad("dynamic"),
        }
    }
}

impl FromStr for ProbeMechanism {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        ProbeMechanism::all().into_iter().find(|mechanism| mechanism.to_string() == text).ok_or_else(|| {
            format!("unknown probe mechanism '{text}': expected 0000 to 1111, regular, deformable or dynamic")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_explained_by_the_terms_that_are_on() {
        let explain = |code: &str| code.parse::<ProbeMechanism>().unwrap().explanation();
        assert_eq!(
            explain("0010"),
            "It finds what stands out (E3); it cannot match a query with a key, look where the query points or look \
             at a fixed offset."
        );
        assert_eq!(
            explain("0101"),
            "It looks where the query points (E2) and looks at a fixed offset (E2 or E4); it cannot match a query with \
             a key or find what stands out."
        );
    }

    /// The expectations, cell by cell: c can, - cannot, p partly.
    #[test]
    fn abilities_follow_the_terms() {
        let row = |code: &str| -> String {
            let mechanism: ProbeMechanism = code.parse().unwrap();
            let cell = |task: &ProbeTask| match mechanism.ability(*task) {
                Ability::Can => 'c',
                Ability::Cannot => '-',
                Ability::Partly => 'p',
            };
            ProbeTask::ALL.iter().map(cell).collect()
        };
        let expected = [
            ("0000", "------"),
            ("0001", "----cc"),
            ("0010", "---c--"),
            ("0011", "---ccc"),
            ("0100", "-cc-cc"),
            ("0101", "-cc-cc"),
            ("0110", "-ccccc"),
            ("0111", "-ccccc"),
            ("1000", "c--c--"),
            ("1001", "cppccc"),
            ("1010", "c--c--"),
            ("1011", "cppccc"),
            ("1100", "cccccc"),
            ("1101", "cccccc"),
            ("1110", "cccccc"),
            ("1111", "cccccc"),
            ("regular", "----c-"),
            ("deformable", "-c--c-"),
            ("dynamic", "-c--c-"),
        ];
        assert_eq!(expected.len(), ProbeMechanism::all().len());
        for (code, abilities) in expected {
            assert_eq!(row(code), abilities, "{code}");
        }
    }
}
