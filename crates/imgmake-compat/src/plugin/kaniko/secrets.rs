//! `--secret`: what `RUN --mount=type=secret` may use.

use std::collections::BTreeMap;

use super::command_line::CommandLine;
use crate::error::{Fact, malformed};
use crate::plugin::Refusal;
use imgmake_core::manifest::SecretFrom;

/// Docker's `id=ID[,type=file|env][,src=PATH][,env=NAME]`, read as kaniko does: without
/// a source it is the variable called ID if that is set, else the file.
pub(super) fn secrets(
    line: &CommandLine,
    environment: &BTreeMap<String, String>,
) -> Result<Vec<(String, SecretFrom)>, Refusal> {
    let mut secrets: Vec<(String, SecretFrom)> = Vec::new();
    for text in line.all("secret") {
        let (id, from) = secret(&text, environment)?;
        if secrets.iter().any(|(other, _)| *other == id) {
            return Err(Refusal::new(
                Fact::Duplicate(format!("--secret id={id}")),
                "give it once",
            ));
        }
        secrets.push((id, from));
    }
    Ok(secrets)
}

fn secret(
    text: &str,
    environment: &BTreeMap<String, String>,
) -> Result<(String, SecretFrom), Refusal> {
    // The text is not repeated: people also try `--secret token=…`.
    let refused = |why: &str| {
        Refusal::new(
            malformed("--secret", why),
            "write `id=ID,src=FILE` or `id=ID,env=NAME`",
        )
    };
    let mut fields: BTreeMap<&str, &str> = BTreeMap::new();
    for part in text.split(',') {
        let (key, value) = part
            .split_once('=')
            .ok_or_else(|| refused("a part is not `key=value`"))?;
        let key = if key == "source" { "src" } else { key };
        if !["id", "type", "src", "env"].contains(&key) {
            return Err(refused("unknown key; expected id, type, src or env"));
        }
        fields.insert(key, value);
    }
    let field = |name: &str| {
        fields
            .get(name)
            .filter(|v| !v.is_empty())
            .map(|v| v.to_string())
    };
    let id = field("id").ok_or_else(|| refused("`id` not found"))?;
    let from = match (field("type").as_deref(), field("src"), field("env")) {
        (_, Some(_), Some(_)) => return Err(refused("src and env contradict each other")),
        (Some("file"), _, Some(_)) => {
            return Err(refused("type=file and env contradict each other"));
        }
        (Some("env"), Some(name), None) => SecretFrom::Env(name),
        (None | Some("env"), None, Some(name)) => SecretFrom::Env(name),
        (Some("env"), None, None) => SecretFrom::Env(id.clone()),
        (None | Some("file"), Some(path), None) => SecretFrom::File(path),
        (None, None, None) if environment.contains_key(&id) => SecretFrom::Env(id.clone()),
        (None | Some("file"), None, None) => SecretFrom::File(id.clone()),
        (Some(_), ..) => return Err(refused("unknown type; expected file or env")),
    };
    Ok((id, from))
}
