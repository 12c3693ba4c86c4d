//! Secrets by reference: the file says where they are, never what they are.

use std::path::PathBuf;

use secrecy::SecretString;

/// Keys of a reference.
pub(super) const KEYS: &[&str] = &["env", "file"];
/// Longest secret or certificate bundle that is read, in bytes.
const LONGEST: u64 = 1024 * 1024;
/// Stands for a secret that was not looked up; of the form of a webhook's secret.
const PLACEHOLDER: &str = "whsec_MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw";

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// In a variable of the environment.
    Env(String),
    /// In a file; a line end at its end is not part of the secret.
    File(PathBuf),
}

impl SecretRef {
    pub(super) fn mend(&self) -> String {
        match self {
            Self::Env(name) if is_variable(name) => format!("set {name} for this process"),
            Self::Env(_) => "name a variable of the environment, such as TOKENWATCH_KEY".to_owned(),
            Self::File(path) => format!("make {} readable for this process", path.display()),
        }
    }
}

/// Looks a secret up where it says.
///
/// # Errors
/// Why there is none, without quoting anything that may be the secret itself.
pub fn look_up(secret: &SecretRef) -> Result<SecretString, String> {
    let text = match secret {
        SecretRef::Env(name) => variable(name)?,
        SecretRef::File(path) => {
            let shown = path.display();
            let error = |error: std::io::Error| format!("cannot read {shown}: {error}");
            if std::fs::metadata(path).map_err(error)?.len() > LONGEST {
                return Err(format!("{shown} is larger than {LONGEST} bytes"));
            }
            std::fs::read_to_string(path).map_err(error)?
        }
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(SecretString::from(text))
}

/// Looks nothing up: a valid secret for every reference that could be one.
///
/// # Errors
/// A name that no variable has.
pub fn placeholder(secret: &SecretRef) -> Result<SecretString, String> {
    match secret {
        SecretRef::Env(name) if !is_variable(name) => Err(NOT_A_VARIABLE.to_owned()),
        SecretRef::Env(_) | SecretRef::File(_) => Ok(SecretString::from(PLACEHOLDER)),
    }
}

pub(super) fn is_placeholder(secret: &str) -> bool {
    secret == PLACEHOLDER
}

const NOT_A_VARIABLE: &str = "env is not a name of capitals, digits and underscores";

#[expect(
    clippy::disallowed_methods,
    reason = "a secret is the one thing that the file names and the environment holds"
)]
fn variable(name: &str) -> Result<String, String> {
    // Somebody who writes the secret itself here must not find it in a log.
    if !is_variable(name) {
        return Err(NOT_A_VARIABLE.to_owned());
    }
    std::env::var(name).map_err(|error| match error {
        std::env::VarError::NotPresent => format!("the environment has no {name}"),
        std::env::VarError::NotUnicode(_) => format!("{name} is not UTF-8"),
    })
}

fn is_variable(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_') && name.chars().all(allowed)
}
