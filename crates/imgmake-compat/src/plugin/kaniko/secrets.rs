//! `--secret`: what `RUN --mount=type=secret` may use.

use std::collections::BTreeMap;

use super::command_line::CommandLine;
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
        if let SecretFrom::Env(name) = &from
            && !environment.contains_key(name)
        {
            return Err(Refusal::new(
                format!("--secret id={id}: the variable {name} is not set"),
                "set it, or give `src=FILE`",
            ));
        }
        if secrets.iter().any(|(known, _)| *known == id) {
            return Err(Refusal::new(
                format!("--secret id={id} is given twice"),
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
            format!("--secret {why}"),
            "write `id=ID,src=FILE` or `id=ID,env=NAME`",
        )
    };
    let mut fields: BTreeMap<&str, &str> = BTreeMap::new();
    for part in text.split(',') {
        let (key, value) = part
            .split_once('=')
            .ok_or_else(|| refused("has a part that is no `key=value`"))?;
        let key = if key == "source" { "src" } else { key };
        if !["id", "type", "src", "env"].contains(&key) {
            return Err(refused("has a key that is none of id, type, src, env"));
        }
        fields.insert(key, value);
    }
    let field = |name: &str| {
        fields
            .get(name)
            .filter(|v| !v.is_empty())
            .map(|v| v.to_string())
    };
    let id = field("id").ok_or_else(|| refused("has no id"))?;
    let from = match (field("type").as_deref(), field("src"), field("env")) {
        (_, Some(_), Some(_)) => return Err(refused("has both src and env")),
        (Some("file"), _, Some(_)) => return Err(refused("is a file and has env")),
        (Some("env"), Some(name), None) => SecretFrom::Env(name),
        (None | Some("env"), None, Some(name)) => SecretFrom::Env(name),
        (Some("env"), None, None) => SecretFrom::Env(id.clone()),
        (None | Some("file"), Some(path), None) => SecretFrom::File(path),
        (None, None, None) if environment.contains_key(&id) => SecretFrom::Env(id.clone()),
        (None | Some("file"), None, None) => SecretFrom::File(id.clone()),
        (Some(_), ..) => return Err(refused("has a type that is neither file nor env")),
    };
    Ok((id, from))
}
