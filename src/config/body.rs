//! `format` of a webhook, and the template behind it.

use secrecy::ExposeSecret as _;

use super::secret::{SecretRef, is_placeholder};
use super::section::{Section, Walk};
use crate::notify::Body;
use crate::notify::format::{CONTENT_TYPE, FORMATS, TEMPLATE, Template};

/// What a webhook's bodies look like.
pub(super) fn read(section: &Section<'_>, walk: &mut Walk<'_>) -> Body {
    let known = FORMATS.iter().map(|format| (format.name, Some(*format)));
    let choices: Vec<_> = known.chain([(TEMPLATE.0, None)]).collect();
    let chosen = section.choice("format", &choices, walk);
    if !matches!(chosen, Some(None)) {
        for key in ["template", "content_type"] {
            if section.has(key) {
                let message = format!("`{key}` is for format = \"template\" alone");
                walk.findings.report(section.key_at(key), message, "write format = \"template\"");
            }
        }
        return chosen.flatten().map_or_else(Body::default, Body::Format);
    }
    section.require("template", "\"alert.json.j2\"", walk);
    let content_type = section.text("content_type", walk);
    let Some(path) = section.path("template", walk) else { return Body::default() };
    let at = section.value_at("template");
    let source = match (walk.lookup)(&SecretRef::File(path.clone())) {
        Ok(source) => source,
        Err(reason) => {
            let mend = "relative paths start at the folder of the configuration file";
            walk.findings.report(at, format!("`template`: {reason}"), mend);
            return Body::default();
        }
    };
    // Where secrets are only checked to be named, files are too: they lie on another machine.
    if is_placeholder(source.expose_secret()) {
        return Body::default();
    }
    let content_type = content_type.as_deref().unwrap_or(CONTENT_TYPE);
    match Template::new(source.expose_secret(), content_type) {
        Ok(template) => Body::Template(template),
        Err(problem) => {
            let message = format!("`template`: {}: {problem}", path.display());
            let mend =
                "a template sees type, timestamp and data, as `tokenwatch schema webhook` says";
            walk.findings.report(at, message, mend);
            Body::default()
        }
    }
}
