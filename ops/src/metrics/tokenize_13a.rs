//! The `13a` tokenizer of BLEU: the rules of NIST's `mteval-v13a.pl`, as sacrebleu applies them.
//!
//! Source: Matt Post, "A Call for Clarity in Reporting BLEU Scores", WMT 2018, and sacrebleu 2.6.

/// Splits a sentence the way WMT scores it, and joins the tokens with single spaces.
///
/// # Rules, applied in this order
/// 1. `<skipped>` and a hyphen at a line end are deleted, line ends become spaces,
///    `&quot; &amp; &lt; &gt;` are unescaped.
/// 2. ASCII punctuation other than `' , - .` stands alone.
/// 3. `.` and `,` are split off a non-digit before them, then off a non-digit after them: numbers
///    such as `1.234,56` stay whole.
/// 4. `-` is split off a digit before it.
///
/// Non-ASCII marks (typographic quotes, the euro sign, long dashes) stay attached to their word.
///
/// # Examples
/// ```
/// use termwise_ops::metrics::tokenize_13a;
///
/// assert_eq!(tokenize_13a("It costs 1.234,56, he said."), "It costs 1.234,56 , he said .");
/// assert_eq!(tokenize_13a("Nr. 5-6 &lt;b&gt;"), "Nr . 5 - 6 < b >");
/// assert_eq!(tokenize_13a("don't re-enter (now)!"), "don't re-enter ( now ) !");
/// ```
pub fn tokenize_13a(line: &str) -> String {
    let mut text = line.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    if text.contains('&') {
        // In this order, so that `&amp;lt;` ends as `<`, as in the source.
        text = text.replace("&quot;", "\"").replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">");
    }
    // The pair rules need a neighbour at both ends.
    let text = isolate_punctuation(&format!(" {text} "));
    let text = split_pairs(&text, |a, b| !a.is_ascii_digit() && is_stop(b), ["", " ", " "]);
    let text = split_pairs(&text, |a, b| is_stop(a) && !b.is_ascii_digit(), [" ", " ", ""]);
    let text = split_pairs(&text, |a, b| a.is_ascii_digit() && b == '-', ["", " ", " "]);
    words(&text).collect::<Vec<_>>().join(" ")
}

/// The words of a line. ASCII 28 to 31 separate too: the scorer's language counts them as spaces.
pub(super) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(is_space).filter(|word| !word.is_empty())
}

/// See [`words`].
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn is_stop(c: char) -> bool {
    c == '.' || c == ','
}

fn isolate_punctuation(text: &str) -> String {
    let mut out = String::with_capacity(2 * text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation() && !matches!(c, '\'' | ',' | '-' | '.') {
            out.extend([' ', c, ' ']);
        } else {
            out.push(c);
        }
    }
    out
}

/// Rewrites each matching pair `ab` as `s0 a s1 b s2`. Matches do not overlap and are taken from
/// the left, so `b` cannot open the next pair: in `...` every other dot is seen as `a`.
fn split_pairs(text: &str, is_pair: impl Fn(char, char) -> bool, separators: [&str; 3]) -> String {
    let mut out = String::with_capacity(2 * text.len());
    let mut chars = text.chars().peekable();
    while let Some(a) = chars.next() {
        match chars.next_if(|&b| is_pair(a, b)) {
            Some(b) => {
                out.push_str(separators[0]);
                out.push(a);
                out.push_str(separators[1]);
                out.push(b);
                out.push_str(separators[2]);
            }
            None => out.push(a),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn punctuation_stands_alone_and_words_keep_their_apostrophe() {
        assert_eq!(tokenize_13a("a{b}c[d]e`f"), "a { b } c [ d ] e ` f");
        assert_eq!(tokenize_13a("x=\"1\"/y*2;z?#%$@"), "x = \" 1 \" / y * 2 ; z ? # % $ @");
        assert_eq!(tokenize_13a("Hans' Auto isn't"), "Hans' Auto isn't");
    }

    #[test]
    fn stops_stay_inside_numbers_only() {
        assert_eq!(tokenize_13a("1,5"), "1,5");
        assert_eq!(tokenize_13a("3.14."), "3.14 .");
        assert_eq!(tokenize_13a(".5 5."), ". 5 5 .");
        assert_eq!(tokenize_13a("v.2"), "v . 2");
        assert_eq!(tokenize_13a("2.v"), "2 . v");
        assert_eq!(tokenize_13a("etc..., so"), "etc . . . , so");
        // An Arabic-Indic digit is no ASCII digit.
        assert_eq!(tokenize_13a("\u{661}.5"), "\u{661} . 5");
    }

    #[test]
    fn a_hyphen_is_split_after_a_digit_only() {
        assert_eq!(tokenize_13a("5-6 VW-Golf A-4 4-A"), "5 - 6 VW-Golf A-4 4 - A");
    }

    #[test]
    fn markup_and_line_ends() {
        assert_eq!(tokenize_13a("<skipped>one-\ntwo\nthree"), "onetwo three");
        assert_eq!(tokenize_13a("&quot;A&amp;B&quot;"), "\" A & B \"");
        assert_eq!(tokenize_13a("&amp;lt;"), "<");
    }

    #[test]
    fn other_alphabets_and_blank_lines() {
        assert_eq!(tokenize_13a("„Ja“ – 5€."), "„Ja“ – 5€ .");
        assert_eq!(tokenize_13a(" \t\u{a0}\u{1c} "), "");
        assert_eq!(tokenize_13a(""), "");
    }

    proptest! {
        /// Only white space is added once there is no markup to delete.
        #[test]
        fn characters_and_their_order_are_kept(line in "[a-z0-9 .,'\\-()!äß€]{0,40}") {
            let squeeze = |s: &str| s.chars().filter(|&c| !is_space(c)).collect::<String>();
            prop_assert_eq!(squeeze(&tokenize_13a(&line)), squeeze(&line));
        }
    }
}
