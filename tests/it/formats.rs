//! Formats of webhooks as an operator meets them: configuration, command and manual.

use std::path::Path;

use tokenwatch::notify::format::{FORMATS, TEMPLATE};

use crate::harness::{Ran, run};

const CONFIG: &str = "[[hub]]\nname = \"east\"\nnamespace = \"a.servicebus.windows.net\"\nhub = \"logs\"\n\
    [[notify.webhook]]\nname = \"chat\"\nurl = \"https://chat.contoso.example/\"\n\
    secret = { file = \"secret\" }\n";

/// `check` over a configuration with these lines in its webhook, and this template beside it.
fn check(lines: &str, template: &str) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("secret"), "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
    std::fs::write(path("alert.json.j2"), template).unwrap();
    std::fs::write(path("tokenwatch.toml"), format!("{CONFIG}{lines}\n")).unwrap();
    run(&["check", "--config", path("tokenwatch.toml").to_str().unwrap()])
}

#[track_caller]
fn check_wrong(lines: &str, template: &str, says: &str) {
    let told = check(lines, template);
    assert_eq!(told.code, Some(3), "{}", told.out);
    assert!(told.out.contains(says), "{says} is missing in {}", told.out);
}

const WITH: &str = "format = \"template\"\ntemplate = \"alert.json.j2\"";

#[test]
fn every_format_can_be_named() {
    for format in FORMATS {
        let told = check(&format!("format = \"{}\"", format.name), "");
        assert_eq!(told.code, Some(0), "{}", told.out);
    }
    let good = "{\"text\": {{ data.summary }}}";
    assert_eq!(check(WITH, good).code, Some(0));
    let plain = format!("{WITH}\ncontent_type = \"text/plain; charset=utf-8\"");
    assert_eq!(check(&plain, "{{ type }}: {{ data.summary }}").code, Some(0));
}

#[test]
fn a_wrong_template_is_told_with_line_and_column() {
    check_wrong(
        WITH,
        "{\n \"text\": {{ data.sumary }}\n}",
        "alert.json.j2: line 2, column 13: undefined",
    );
    check_wrong(WITH, "{\n \"text\": {{ data.summary \n}", "alert.json.j2: line 3, column");
    check_wrong(
        WITH,
        "{\"text\": \"{{ data.summary }}\"}",
        "line 1, column 14: the body is no JSON",
    );
    check_wrong("format = \"template\"", "", "has no `template`");
    check_wrong("format = \"template\"\ntemplate = \"gone.j2\"", "", "cannot read");
    check_wrong("template = \"alert.json.j2\"", "", "is for format = \"template\" alone");
    check_wrong("format = \"ocfs\"", "", "is none of its values");
    check_wrong(&format!("{WITH}\ncontent_type = \"json\""), "[]", "is no type");
}

#[test]
fn an_internal_receiver_must_be_allowed() {
    let internal = |lines: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokenwatch.toml");
        let text = CONFIG.replace("https://chat.contoso.example/", "https://10.1.2.3/hidden");
        std::fs::write(&file, format!("{text}{lines}\n")).unwrap();
        run(&["check", "--without-secrets", "--config", file.to_str().unwrap()])
    };
    let told = internal("");
    assert_eq!(told.code, Some(3));
    assert!(told.out.contains("10.1.2.3 is an internal address"), "{}", told.out);
    assert!(!told.out.contains("hidden"), "{}", told.out);
    assert_eq!(internal("allow_internal = [\"10.1.0.0/16\"]").code, Some(0));
    let told = internal("allow_internal = [\"10.1.0.0/16\", \"169.254.0.0/16\", \"8.8.8.8\"]");
    assert_eq!(told.code, Some(3));
    for text in ["\"169.254.0.0/16\" is no internal network", "\"8.8.8.8\" is no internal network"]
    {
        assert!(told.out.contains(text), "{text} is missing in {}", told.out);
    }
}

#[test]
fn the_schema_is_printed_as_it_is_published() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/webhook.schema.json");
    let told = run(&["schema", "webhook"]);
    assert_eq!((told.code, told.out), (Some(0), std::fs::read_to_string(file).unwrap()));
}

#[test]
fn the_readme_says_of_every_format_what_it_is() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(readme).unwrap();
    let known = FORMATS.iter().map(|format| (format.name, format.what)).chain([TEMPLATE]);
    let rows: String = known.map(|(name, what)| format!("| `{name}` | {what} |\n")).collect();
    assert!(text.contains(&rows), "README.md must say\n{rows}");
}
