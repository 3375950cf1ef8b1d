//! The signature that a step asks for: `PLUGIN_COSIGN_…`.

use super::Refusal;
use super::reader::Reader;
use crate::credentials::declared;
use crate::error::Fact;
use crate::nodes::plain;
use crate::step::Step;
use imgmake_core::manifest::{SignKey, SignNode, TargetKind};

const KEY: &str = "PLUGIN_COSIGN_PRIVATE_KEY";
const PASSWORD: &str = "PLUGIN_COSIGN_PASSWORD";
const PARAMS: &str = "PLUGIN_COSIGN_PARAMS";

/// Arguments of `cosign sign` that ask for what is done anyway: no question, no public log.
const ANYWAY: [&str; 5] = [
    "--yes",
    "-y",
    "--yes=true",
    "--tlog-upload=false",
    "--recursive=false",
];

/// Signs what the step's pushes publish.
///
/// # Errors
/// An argument asks for another signature.
pub(super) fn sign(reader: &Reader, step: &mut Step) -> Result<(), Refusal> {
    let (variable, password) = (reader.variable(KEY), reader.variable(PASSWORD));
    let params = reader.text(PARAMS);
    let Some(variable) = variable else {
        let set = [(PASSWORD, password.is_some()), (PARAMS, !params.is_empty())];
        let set = set.iter().filter(|(_, is_set)| *is_set);
        let notes = set.map(|(name, _)| format!("{name} has no effect without {KEY}"));
        step.notes.extend(notes);
        return Ok(());
    };
    let mut words = params.split_whitespace();
    if let Some(word) = words.find(|word| !ANYWAY.contains(word)) {
        let flag = word.split('=').next().unwrap_or(word);
        return Err(Refusal::new(
            Fact::Unsupported(format!("`{flag}` in {PARAMS}")),
            format!(
                "unset it, or sign in a later step with cosign; understood are {}",
                ANYWAY.join(", ")
            ),
        ));
    }
    let key = reader.text(KEY);
    let secrets = &mut step.manifest.secrets;
    let key = if key.trim_start().starts_with("-----BEGIN") {
        SignKey::Secret(declared(variable, secrets))
    } else if let Some((scheme, _)) = key.split_once("://") {
        let scheme: String = scheme.chars().take(20).collect();
        return Err(Refusal::new(
            Fact::Unsupported(format!("`{scheme}://…` in {KEY}")),
            "give a key in PEM, or the path of its file",
        ));
    } else if is_path(&key) {
        SignKey::File(plain(key))
    } else {
        return Err(Refusal::new(
            Fact::Malformed {
                setting: KEY.to_string(),
                why: "it is neither a key in PEM nor the path of a file".to_string(),
            },
            "a key in PEM begins with `-----BEGIN`; a key in base64 has to be decoded first",
        ));
    };
    let password = password.map(|variable| declared(variable, secrets));
    for target in &mut step.manifest.targets {
        if let TargetKind::Push(push) = &mut target.kind {
            let (key, password) = (key.clone(), password.clone());
            push.sign = Some(SignNode { key, password });
        }
    }
    Ok(())
}

/// Whether a value can be shown, as paths are: what is long or has blanks may be the key itself, in another form.
fn is_path(value: &str) -> bool {
    const LONGEST: usize = 128;
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\'' | '"' | '\u{feff}');
    value.len() <= LONGEST && !value.contains(odd)
}
