//! Cutting a text into the pieces inside of which tokens are joined.

use super::MAX_BYTES;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Space,
    Letter,
    Digit,
    Other,
}

fn kind(c: char) -> Kind {
    match c {
        c if c.is_whitespace() => Kind::Space,
        '\u{300}'..='\u{36f}' => Kind::Letter, // accents that stand for themselves go with their letter
        c if c.is_alphabetic() => Kind::Letter,
        c if c.is_numeric() => Kind::Digit,
        _ => Kind::Other,
    }
}

/// The pieces of a text, in order; joined they are the text.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut end = first(rest)?;
        if end > MAX_BYTES {
            end = (0..=MAX_BYTES).rev().find(|&end| rest.is_char_boundary(end))?;
        }
        let piece;
        (piece, rest) = rest.split_at(end);
        Some(piece)
    })
}

/// The length of the first piece in bytes, if there is one.
fn first(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().map(|(at, c)| (at, c, kind(c))).peekable();
    let (_, start, mut run) = chars.next()?;
    let mut alone = run == Kind::Other;
    if run == Kind::Space {
        match chars.peek() {
            // One space goes with what follows it.
            Some(&(_, _, next)) if start == ' ' && next != Kind::Space => {
                run = next;
                alone = next == Kind::Other;
                chars.next();
            }
            // Of several, the last one does.
            _ => {
                let mut last = (0, start);
                while let Some(&(at, c, Kind::Space)) = chars.peek() {
                    last = (at, c);
                    chars.next();
                    if at > MAX_BYTES {
                        return Some(at);
                    }
                }
                let goes_on = chars.peek().is_some() && last.1 == ' ' && last.0 > 0;
                return Some(match (goes_on, chars.peek()) {
                    (true, _) => last.0,
                    (false, Some(&(at, _, _))) => at,
                    (false, None) => text.len(),
                });
            }
        }
    }
    if alone {
        return Some(chars.peek().map_or(text.len(), |&(at, _, _)| at));
    }
    // Looking further than the longest piece would make long texts quadratic.
    while let Some(&(at, _, kind)) = chars.peek() {
        if kind != run || at > MAX_BYTES {
            return Some(at);
        }
        chars.next();
    }
    Some(text.len())
}
