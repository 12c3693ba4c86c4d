//! Makes text that an attacker may have written harmless before people read it.
//!
//! Deployment names, models, callers and evidence come out of log records, and whoever holds a
//! stolen key chooses part of them. Markup is escaped by the template; this file removes what
//! escaping leaves alone: control and invisible characters, text that runs backwards, towers of
//! accents, and addresses that a mail program would turn into a link.

/// Shown in place of a character that was taken out.
const REPLACEMENT: char = '\u{FFFD}';
/// Accents kept on one letter; every script in daily use needs at most this many.
const MARKS_MAX: usize = 2;

/// Text on one line, at most `max` characters, without control or invisible characters.
///
/// Line breaks and tabs become spaces; other control characters and anything that changes the
/// direction of text become `�`; characters of no width disappear.
pub fn line(text: &str, max: usize) -> String {
    let spaced = text.chars().map(|c| if is_break(c) { ' ' } else { c });
    bounded(visible(spaced, max), max)
}

/// Like [`line()`], and whatever looks like a link, a host name or a tag is written so that nothing
/// makes it clickable or markup: `https[://]evil[.]example`.
pub fn untrusted(text: &str, max: usize) -> String {
    bounded(defang(&line(text, max)).chars().collect(), max)
}

/// A shell command on one line, otherwise verbatim; `None` when it is longer than `max`
/// characters, because half a command is worse than none.
///
/// A backslash before a line break (a continued command) joins the lines. Any other control
/// character, line breaks among them, becomes `�`, which no shell takes for the end of a command.
pub(super) fn command(text: &str, max: usize) -> Option<String> {
    let joined = text.trim().replace("\\\r\n", " ").replace("\\\n", " ");
    let shown: String = visible(joined.chars(), max).into_iter().collect();
    (shown.chars().count() <= max).then_some(shown)
}

/// Cuts `text` into words, single spaces, and wherever a mail program would need it whole to see
/// a link; the pieces concatenate to `text`. Put into separate elements, they are shown and
/// copied as one.
pub(super) fn pieces(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut pieces = Vec::new();
    let mut piece = String::new();
    for (at, c) in chars.iter().enumerate() {
        let space = *c == ' ';
        if space && !piece.is_empty() {
            pieces.push(std::mem::take(&mut piece));
        }
        piece.push(*c);
        if space || is_scheme_end(&chars, at) || is_host_dot(&chars, at) {
            pieces.push(std::mem::take(&mut piece));
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

/// The id of an Azure resource, whole so that it can be copied; anything else is [`untrusted`].
pub(super) fn resource_id(text: &str, max: usize) -> String {
    let id = line(text, max);
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/-_.()".contains(c);
    if id.starts_with("/subscriptions/") && !id.contains("//") && id.chars().all(is_path) {
        return id;
    }
    untrusted(text, max)
}

fn defang(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(c) = chars.get(at) {
        if is_scheme_end(&chars, at) {
            out.push_str("[://]");
            at += 3;
            continue;
        }
        if is_host_dot(&chars, at) {
            out.push_str("[.]");
        } else if is_tag_start(&chars, at) {
            out.push('‹');
        } else {
            out.push(*c);
        }
        at += 1;
    }
    out
}

/// The colon of `://`.
fn is_scheme_end(chars: &[char], at: usize) -> bool {
    chars.get(at..at + 3) == Some(&[':', '/', '/'])
}

/// A dot between a letter or digit and a label that may be a top-level domain or lead to one:
/// two characters, the first a letter. Numbers (`4.1`) and addresses (`203.0.113.0`) are none.
fn is_host_dot(chars: &[char], at: usize) -> bool {
    let Some(['.', first, second]) = chars.get(at..at + 3) else { return false };
    let before = at.checked_sub(1).and_then(|at| chars.get(at));
    before.is_some_and(|c| c.is_alphanumeric()) && first.is_alphabetic() && second.is_alphanumeric()
}

/// The start of a tag. Our own pages escape it; the text part and the subject may be shown by
/// something that does not (ticket systems, chat bridges).
fn is_tag_start(chars: &[char], at: usize) -> bool {
    let Some(['<', next]) = chars.get(at..at + 2) else { return false };
    next.is_alphabetic() || matches!(next, '/' | '!' | '?')
}

fn bounded(mut chars: Vec<char>, max: usize) -> String {
    if chars.len() > max {
        chars.truncate(max.saturating_sub(1));
        chars.push('…');
    }
    chars.into_iter().collect()
}

/// The characters that may be shown, as far as the first that is one too many.
fn visible(chars: impl Iterator<Item = char>, max: usize) -> Vec<char> {
    let mut out = Vec::new();
    let mut marks = 0;
    for c in chars {
        if out.len() > max {
            break;
        }
        if is_mark(c) {
            marks += 1;
            if marks > MARKS_MAX {
                continue;
            }
        } else {
            marks = 0;
        }
        if c.is_control() || is_break(c) || turns_text(c) {
            out.push(REPLACEMENT);
        } else if !is_invisible(c) {
            out.push(c);
        }
    }
    out
}

const fn is_break(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Marks, embeddings, overrides and isolates of the bidirectional algorithm (Unicode UAX #9).
const fn turns_text(c: char) -> bool {
    matches!(c, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Characters without ink or width: joiners, fillers, variation selectors, tags, byte-order marks.
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{AD}' | '\u{34F}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200D}' | '\u{2060}'..='\u{2065}'
            | '\u{206A}'..='\u{206F}' | '\u{2800}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}'
            | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{1D173}'..='\u{1D17A}'
            | '\u{E0000}'..='\u{E0FFF}'
    )
}

/// Blocks of combining marks that stack.
const fn is_mark(c: char) -> bool {
    matches!(
        c,
        '\u{300}'..='\u{36F}' | '\u{483}'..='\u{489}' | '\u{1AB0}'..='\u{1AFF}'
            | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20FF}' | '\u{FE20}'..='\u{FE2F}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_no_controls_and_end_in_time() {
        let check = |text: &str, max, shown: &str| assert_eq!(line(text, max), shown, "{text:?}");
        check("chat-prod", 200, "chat-prod");
        check("a\r\nBcc: x", 200, "a  Bcc: x");
        check("a\u{0}\u{1b}[31m\u{7f}", 200, "a��[31m�");
        check("evil\u{202E}gpj.exe\u{2066}", 200, "evil�gpj.exe�");
        check("z\u{200B}e\u{FEFF}r\u{AD}o\u{E0041}", 200, "zero");
        check("a\u{301}\u{301}\u{301}\u{301}b", 200, "a\u{301}\u{301}b");
        check("äöü", 3, "äöü");
        check("äöüß", 3, "äö…");
        check("x", 0, "…");
    }

    #[test]
    fn nothing_an_attacker_writes_is_clickable() {
        let check = |text: &str, shown: &str| assert_eq!(untrusted(text, 200), shown);
        check("https://evil.example/a?b", "https[://]evil[.]example/a?b");
        check("www.evil.co.uk", "www[.]evil[.]co[.]uk");
        check("x\u{200B}.\u{200B}com", "x[.]com");
        check("<script>a < 2 </b>", "‹script>a < 2 ‹/b>");
        check("gpt-4.1", "gpt-4.1");
        check("203.0.113.0/24", "203.0.113.0/24");
        check("Rose 14×. Then fell.", "Rose 14×. Then fell.");
    }

    #[test]
    fn commands_stay_whole_or_stay_away() {
        assert_eq!(command("az group \\\n  list\n", 200).as_deref(), Some("az group    list"));
        assert_eq!(command("a\nrm -rf /", 200).as_deref(), Some("a�rm -rf /"));
        assert_eq!(command("abc", 2), None);
    }

    #[test]
    fn pieces_add_up_to_the_whole() {
        let text = "curl https://a.example/b  203.0.113.0";
        assert_eq!(pieces(text).concat(), text);
        let split = ["curl", " ", "https:", "//a.", "example/b", " ", " ", "203.0.113.0"];
        assert_eq!(pieces(text), split);
    }

    #[test]
    fn resource_ids_can_be_copied() {
        let id = "/subscriptions/1/resourceGroups/rg_(a)/providers/Microsoft.CognitiveServices";
        assert_eq!(resource_id(id, 200), id);
        assert_eq!(
            resource_id("/subscriptions/@evil.example", 200),
            "/subscriptions/@evil[.]example"
        );
        assert_eq!(resource_id("https://x.example", 200), "https[://]x[.]example");
    }
}
