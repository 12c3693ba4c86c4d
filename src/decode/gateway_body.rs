//! What a logged body of an answer says in numbers: tokens, and the verdict of the content filter.
//! Nothing of its text is kept.

use super::field::{Fields, MAX_ELEMENTS, elements};
use super::text;
use crate::event::Tokens;
use crate::event::gateway::{Causes, Filter};

/// Numbers and verdicts of one body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Body {
    /// Model that answered, lower case.
    pub(super) model: String,
    /// Tokens, if the body counts them.
    pub(super) tokens: Option<Tokens>,
    /// What the content filter said, if it did.
    pub(super) filter: Option<Filter>,
}

/// Reads an answer of a chat, responses, messages or embeddings API; gateways cut bodies after
/// 8 KiB, and of a cut one only a refusal can be told.
pub(super) fn read(body: &str) -> Body {
    let Some(fields) = Fields::read(body) else {
        return Body { filter: refused(body), ..Body::default() };
    };
    Body {
        model: text::name(&fields.text("model").unwrap_or_default()),
        tokens: fields.nested("usage").and_then(|usage| tokens(&Fields::read(&usage)?)),
        filter: filter(&fields),
    }
}

/// A refusal in a body that cannot be read as a whole.
pub(super) fn refused(body: &str) -> Option<Filter> {
    let blocked = body.contains("ResponsibleAIPolicyViolation");
    blocked.then(|| Filter { blocked, causes: Causes::default() })
}

/// Tokens as OpenAI or Anthropic name them; Anthropic's input leaves cached tokens out.
fn tokens(usage: &Fields<'_>) -> Option<Tokens> {
    let count = |fields: &Fields<'_>, name: &str| fields.tokens(name).ok().flatten();
    let first = |names: [&str; 2]| names.iter().find_map(|name| count(usage, name));
    let input = first(["prompt_tokens", "input_tokens"]);
    let output = first(["completion_tokens", "output_tokens"]);
    if input.is_none() && output.is_none() {
        return None;
    }
    let details = ["prompt_tokens_details", "input_tokens_details"];
    let details = details.iter().find_map(|name| usage.nested(name));
    let inside = details.and_then(|details| count(&Fields::read(&details)?, "cached_tokens"));
    let read = count(usage, "cache_read_input_tokens");
    let beside = read.unwrap_or(0) + count(usage, "cache_creation_input_tokens").unwrap_or(0);
    Some(Tokens {
        input: input.unwrap_or(0) + beside,
        cached: inside.or(read).unwrap_or(0),
        output: output.unwrap_or(0),
    })
}

/// The verdict of the filter, on the prompt or on the answers.
fn filter(body: &Fields<'_>) -> Option<Filter> {
    let mut verdict = Verdict::default();
    if let Some(error) = body.nested("error") {
        verdict.error(&error);
    }
    for list in ["prompt_filter_results", "choices"] {
        let Some(items) = body.nested(list) else { continue };
        // What is no array has no answers.
        elements(&items, MAX_ELEMENTS, &mut |item| verdict.item(item));
    }
    verdict.seen.then_some(Filter { blocked: verdict.blocked, causes: verdict.causes })
}

#[derive(Default)]
struct Verdict {
    seen: bool,
    blocked: bool,
    causes: Causes,
}

impl Verdict {
    fn error(&mut self, text: &str) {
        let Some(error) = Fields::read(text) else { return };
        let is = |fields: &Fields<'_>, word| fields.text("code").is_some_and(|code| code == word);
        let inner = error.nested("innererror");
        let inner = inner.as_deref().and_then(Fields::read);
        let refused = is(&error, "content_filter")
            || inner.as_ref().is_some_and(|inner| is(inner, "ResponsibleAIPolicyViolation"));
        self.blocked |= refused;
        self.seen |= refused;
        for holder in inner.iter().chain([&error]) {
            self.results(holder);
        }
    }

    /// One prompt or one answer.
    fn item(&mut self, text: &str) {
        let Some(item) = Fields::read(text) else { return };
        self.blocked |= item.text("finish_reason").is_some_and(|word| word == "content_filter");
        self.seen |= self.blocked;
        self.results(&item);
    }

    /// The categories, which have had two names.
    fn results(&mut self, holder: &Fields<'_>) {
        for name in ["content_filter_result", "content_filter_results"] {
            let Some(results) = holder.nested(name) else { continue };
            let Some(categories) = Fields::read(&results) else { continue };
            self.seen = true;
            for (category, value) in categories.members() {
                if is_filtered(value.get()) {
                    self.causes.add(category);
                }
            }
        }
    }
}

/// True when a category refused: an object, or for block lists an array of them.
fn is_filtered(value: &str) -> bool {
    let filtered = |text: &str| {
        Fields::read(text).and_then(|fields| fields.boolean("filtered")).unwrap_or(false)
    };
    let mut any = filtered(value);
    if value.starts_with('[') {
        elements(value, MAX_ELEMENTS, &mut |item| any |= filtered(item));
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_three_dialects_are_read() {
        for (body, input, cached, output) in [
            (r#"{"usage":{"prompt_tokens":211,"completion_tokens":96}}"#, 211, 0, 96),
            (
                r#"{"usage":{"prompt_tokens":211,"prompt_tokens_details":{"cached_tokens":128}}}"#,
                211,
                128,
                0,
            ),
            (
                r#"{"usage":{"input_tokens":90,"input_tokens_details":{"cached_tokens":64},"output_tokens":5}}"#,
                90,
                64,
                5,
            ),
            (
                r#"{"usage":{"input_tokens":26,"cache_read_input_tokens":48854,"cache_creation_input_tokens":10,"output_tokens":121}}"#,
                26 + 48_854 + 10,
                48_854,
                121,
            ),
        ] {
            assert_eq!(read(body).tokens, Some(Tokens { input, cached, output }), "{body}");
        }
        for body in ["{}", r#"{"usage":{}}"#, r#"{"usage":{"prompt_tokens":"many"}}"#, "{\"us"] {
            assert_eq!(read(body).tokens, None, "{body}");
        }
    }

    #[test]
    fn a_refusal_is_seen_even_in_a_cut_body() {
        let body = r#"{"error":{"code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":false},"jailbreak":{"filtered":true,"detected":true},"custom_blocklists":[{"filtered":true,"id":"b"}]}}}}"#;
        let filter = read(body).filter.unwrap();
        assert!(filter.blocked);
        assert_eq!(filter.causes, Causes { jailbreak: true, blocklist: true, ..Causes::default() });
        let cut = read(body.get(..100).unwrap()).filter.unwrap();
        assert_eq!(cut, Filter { blocked: true, causes: Causes::default() });
        let passed = r#"{"choices":[{"finish_reason":"stop","content_filter_results":{"hate":{"filtered":false}}}]}"#;
        assert_eq!(read(passed).filter, Some(Filter::default()));
        assert_eq!(read(r#"{"choices":[]}"#).filter, None);
    }
}
