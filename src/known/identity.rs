//! Names of Entra object ids, out of a file that the operator makes of the directory.

use std::collections::HashMap;

use serde::Deserialize;

use super::format::{csv, text_of};
use super::list::{Broken, Tally};
use crate::decode::text;

/// What the file must be, completing "check that it is …".
const EXPECTED: &str = "a table `object id,name`, or JSON with id and displayName";
/// What a column with names may be called.
const NAMES: [&str; 5] =
    ["name", "displayname", "display_name", "display name", "userprincipalname"];

/// Names by object id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    names: HashMap<String, String>,
    tally: Tally,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    /// An answer of Microsoft Graph as it comes.
    Answer { value: Vec<Entry> },
    /// What `az ad user list` and the like print.
    List(Vec<Entry>),
    /// Names by object id.
    Map(HashMap<String, String>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    id: Option<String>,
    object_id: Option<String>,
    display_name: Option<String>,
    name: Option<String>,
}

impl Names {
    /// Reads a file's bytes: a table whose columns are object id and name (with or without a
    /// heading), or JSON: names by id, or a list of objects with `id` and `displayName`.
    ///
    /// # Errors
    /// The file as a whole cannot be believed.
    pub fn read(bytes: &[u8]) -> Result<Self, Broken> {
        let text = text_of(bytes);
        let mut names = Self::default();
        if text.trim_start().starts_with(['{', '[']) {
            names.json(&text)?;
        } else {
            names.table(&text);
        }
        names.tally.check(EXPECTED)?;
        Ok(names)
    }

    fn json(&mut self, text: &str) -> Result<(), Broken> {
        let file: File = serde_json::from_str(text).map_err(|error| {
            Broken::new(error.to_string(), format!("check that it is {EXPECTED}"))
        })?;
        match file {
            File::Answer { value } | File::List(value) => {
                for (number, entry) in (1..).zip(value) {
                    let id = entry.id.or(entry.object_id).unwrap_or_default();
                    let name = entry.display_name.or(entry.name).unwrap_or_default();
                    self.take(format_args!("entry {number}"), &id, &name);
                }
            }
            File::Map(map) => {
                for (id, name) in map {
                    self.take(format_args!("a member"), &id, &name);
                }
            }
        }
        Ok(())
    }

    fn table(&mut self, text: &str) {
        let mut columns = None;
        for record in csv::rows(text).into_byte_records() {
            let Ok(record) = record else { continue };
            let line = record.position().map_or(0, ::csv::Position::line);
            let cell = |at: usize| String::from_utf8_lossy(record.get(at).unwrap_or_default());
            let (id, name) = match columns {
                Some(columns) => columns,
                None => {
                    let is_heading = !is_object_id(&text::id(&cell(0)));
                    let named = |at: &usize| NAMES.contains(&&*cell(*at).to_ascii_lowercase());
                    let found = columns.insert(match (is_heading, (0..record.len()).find(named)) {
                        (true, Some(0)) => (1, 0),
                        (true, Some(name)) => (0, name),
                        (true, None) | (false, _) => (0, 1),
                    });
                    if is_heading {
                        continue;
                    }
                    *found
                }
            };
            self.take(format_args!("line {line}"), &cell(id), &cell(name));
        }
    }

    fn take(&mut self, place: std::fmt::Arguments<'_>, id: &str, name: &str) {
        let id = text::id(id);
        let name = text::clean(name, text::MAX_NAME_CHARS);
        if !is_object_id(&id) {
            return self.tally.skip(place, &id, "no object id");
        }
        if name.is_empty() {
            return self.tally.skip(place, &id, "no name");
        }
        self.tally.good = self.tally.good.saturating_add(1);
        if self.tally.good <= super::list::MAX_ENTRIES {
            self.names.insert(id, name);
        }
    }

    /// The name of an object id.
    #[must_use]
    pub fn of(&self, id: &str) -> Option<&str> {
        self.names.get(id).map(String::as_str)
    }

    /// The object ids with this name, in any letter case; in no order.
    #[must_use]
    pub fn ids_of(&self, name: &str) -> Vec<String> {
        let wanted = name.to_lowercase();
        let named = self.names.iter().filter(|(_, known)| known.to_lowercase() == wanted);
        named.map(|(id, _)| id.clone()).collect()
    }

    /// How many entries were read and skipped.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }
}

/// Names from anywhere else, such as the directory itself; ids in any letter case.
impl FromIterator<(String, String)> for Names {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        let mut names = Self::default();
        for (id, name) in pairs {
            names.take(format_args!("a name"), &id, &name);
        }
        names
    }
}

/// True for a GUID in lower case.
fn is_object_id(id: &str) -> bool {
    let dashes = [8, 13, 18, 23];
    id.len() == 36
        && id.bytes().enumerate().all(|(at, byte)| match dashes.contains(&at) {
            true => byte == b'-',
            false => byte.is_ascii_hexdigit(),
        })
}
