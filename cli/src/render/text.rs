//! Text that others wrote, made safe to show: nothing in it can move the cursor, change colours or turn the direction of reading.

use signoff_core::names::hides;

/// The text on one line; what could act on a terminal or hide shows as its code.
pub(crate) fn line(text: &str) -> String {
    escape(text, |_| false)
}

/// The text over its own lines; else as [`line()`].
pub(crate) fn block(text: &str) -> String {
    escape(text, |c| c == '\n')
}

/// JSON in which nothing can act on a terminal: JSON's own escapes stand for it, so it means the same.
pub(crate) fn safe_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && acts(c) {
            let mut units = [0; 2];
            safe.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            safe.push(c);
        }
    }
    safe
}

/// At most `most` characters of the text on one line; what is left out shows as an ellipsis.
pub(crate) fn short(text: &str, most: usize) -> String {
    let clean = line(text);
    if clean.chars().count() <= most {
        return clean;
    }
    clean.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// The text in lines of at most `most` characters, broken at spaces; a word that is longer (an address, say) stays whole.
pub(crate) fn wrap(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut room = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        match lines.last_mut() {
            Some(line) if length < room => {
                line.push(' ');
                line.push_str(word);
                room -= length + 1;
            }
            _ => {
                lines.push(word.to_owned());
                room = most.saturating_sub(length);
            }
        }
    }
    lines
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if keep(c) || !acts(c) => clean.push(c),
            '\n' => clean.push(' '),
            c => clean.extend(c.escape_unicode()),
        }
    }
    clean
}

/// Whether a character acts on a terminal, changes the direction of text, or is there without showing. What joins letters and emoji, or chooses their
/// shape, is part of what people write.
fn acts(c: char) -> bool {
    let shapes = matches!(c, '\u{200C}' | '\u{200D}' | '\u{FE00}'..='\u{FE0F}');
    hides(c) && !shapes
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2J\u{9b}31mb\r\u{8}c\u{7f}\nd\u{202e}e";

    #[test]
    fn nothing_acts_on_a_terminal() {
        assert_eq!(line(HOSTILE), "a\\u{1b}[2J\\u{9b}31mb\\u{d}\\u{8}c\\u{7f} d\\u{202e}e");
        assert_eq!(block("two\nlines\t"), "two\nlines\\u{9}");
        assert_eq!(line("Grüße, 世界 👩‍💻 ❤\u{fe0f}"), "Grüße, 世界 👩‍💻 ❤\u{fe0f}");
        assert_eq!(line("a\u{ad}b\u{200b}c\u{3164}d\u{e0100}"), "a\\u{ad}b\\u{200b}c\\u{3164}d\\u{e0100}");
    }

    #[test]
    fn json_means_the_same_and_is_safe() {
        let value = serde_json::json!({"reason": format!("{HOSTILE}\u{E0041}")});
        let safe = safe_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(safe.chars().all(|c| c == '\n' || !acts(c)), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
    }

    #[test]
    fn lines_are_broken_at_spaces_and_nothing_is_lost() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("a https://x.example/long b c", 5), ["a", "https://x.example/long", "b c"]);
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(wrap("two  spaces", 80), ["two  spaces"]);
        assert_eq!(wrap("Grüße, 世界", 9), ["Grüße, 世界"]);
    }

    #[test]
    fn short_is_short() {
        assert_eq!(short("abcdef", 6), "abcdef");
        assert_eq!(short("abcdefg", 6), "abcde…");
    }
}
