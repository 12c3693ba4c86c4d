//! The shape of the sources: layers, sizes and the map.

use std::path::{Path, PathBuf};

/// Modules of the library, each with its layer. A module may import from lower layers and from
/// itself; two modules of one layer do not know each other unless listed with layers of their own.
const LAYERS: [(&str, u8); 33] = [
    ("event", 0),
    ("time", 0),
    ("days", 0),
    ("money", 0),
    ("severity", 0),
    ("action", 0),
    ("problem", 0),
    ("failpoint", 0),
    ("decode", 1),
    ("known", 2),
    ("price", 2),
    ("aggregate", 3),
    ("detect", 4),
    ("incident", 5),
    ("rules", 6),
    ("route", 6),
    ("posture", 6),
    ("engine", 7),
    ("azure", 7),
    ("source", EDGE),
    ("store", EDGE),
    ("notify", EDGE),
    ("files", EDGE),
    ("simulate", EDGE),
    ("backtest", EDGE),
    ("emulator", EDGE),
    ("report", 9),
    ("telemetry", 9),
    ("config", 10),
    ("pipeline", 11),
    ("demo", 12),
    ("drill", 12),
    ("cli", 13),
];
/// The layer of the edges.
const EDGE: u8 = 8;
/// Most lines of a file.
const MAX_LINES: usize = 600;

fn layer(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `folder` with its path from the root of the project and its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    assert!(found.len() > 5, "{folder}");
    found
}

/// The module of the library a file belongs to; `None` for the root itself.
fn module_of(path: &Path) -> Option<String> {
    let first = path.components().nth(1)?.as_os_str().to_str()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (!["lib", "main"].contains(&name)).then(|| name.to_owned())
}

/// The text without comments, and without the unit tests at its end.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]").unwrap_or(text.len());
    let lines = text.get(..end).unwrap_or_default().lines();
    let code: Vec<_> = lines.map(|line| line.split("//").next().unwrap_or_default()).collect();
    code.join("\n")
}

/// The modules a file names after `crate::`, braces opened.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (_, after) in code(text).match_indices("crate::").map(|(at, word)| {
        let text = code(text);
        (at, text.get(at + word.len()..).unwrap_or_default().to_owned())
    }) {
        match after.strip_prefix('{').and_then(|list| list.split_once(';')) {
            Some((list, _)) => found.extend(list.split(',').filter_map(first_word)),
            None => found.extend(first_word(&after)),
        }
    }
    found
}

fn first_word(text: &str) -> Option<String> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(text.len());
    text.get(..end).filter(|word| !word.is_empty()).map(str::to_owned)
}

/// What is wrong with an import; `None` when it points leftwards.
fn wrong(from: &str, to: &str) -> Option<String> {
    let (Some(own), Some(other)) = (layer(from), layer(to)) else {
        return Some(format!("{from} or {to} has no layer in this test"));
    };
    let fine = from == to || other < own || (other == 0 && own == 0);
    (!fine).then(|| format!("{from} imports {to}, which is not to its left"))
}

#[test]
fn arrows_point_leftwards() {
    let mut problems = Vec::new();
    let mut arrows = 0;
    for (path, text) in sources("src") {
        let test = path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests"));
        let Some(from) = module_of(&path).filter(|_| !test) else { continue };
        for to in imports(&text) {
            arrows += 1;
            let problem = wrong(&from, &to);
            problems.extend(problem.map(|problem| format!("{}: {problem}", path.display())));
        }
    }
    assert!(arrows > 100, "only {arrows} imports were found");
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn imports_are_found_in_every_form() {
    let check = |text: &str, expected: &[&str]| assert_eq!(imports(text), expected, "{text}");
    check("use crate::event::Row;", &["event"]);
    check("use crate::{event, time::Minute};", &["event", "time"]);
    check("let x = crate::store::open();", &["store"]);
    check("// use crate::store;", &[]);
    check("pub(crate) fn f() {}", &[]);
    check("#[cfg(test)]\nmod tests { use crate::store; }", &[]);
    assert!(wrong("store", "source").is_some() && wrong("decode", "engine").is_some());
    assert!(wrong("cli", "store").is_none() && wrong("store", "store").is_none());
}

#[test]
fn the_map_names_every_module() {
    let library = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let (map, code): (Vec<_>, Vec<_>) =
        library.lines().partition(|line| line.trim_start().starts_with("//!"));
    let (map, code) = (map.join("\n"), code.join("\n"));
    let mut modules: Vec<_> =
        sources("src").iter().filter_map(|(path, _)| module_of(path)).collect();
    modules.sort();
    modules.dedup();
    assert!(modules.len() >= 17, "{modules:?}");
    for module in modules {
        assert!(layer(&module).is_some(), "{module} has no layer in this test");
        assert!(code.contains(&format!("mod {module};")), "lib.rs does not hold {module}");
        assert!(map.contains(&format!("[`{module}`]")), "the map in lib.rs lacks {module}");
    }
}

#[test]
fn files_are_short() {
    for folder in ["src", "tests"] {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= MAX_LINES, "{} has {lines} lines", path.display());
        }
    }
}

#[test]
fn nothing_is_ignored_allowed_or_left_to_do() {
    let words = ["#[ign\u{6f}re", "#[all\u{6f}w(", "#![all\u{6f}w(", "tod\u{6f}!("];
    for folder in ["src", "tests"] {
        for (path, text) in sources(folder) {
            for word in words {
                assert!(!text.contains(word), "{} has {word}", path.display());
            }
        }
    }
}
