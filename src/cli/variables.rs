//! `--var NAME=VALUE`.

use crate::exit::Exit;

/// # Errors
/// One is written otherwise.
pub fn variables(written: &[String]) -> Result<Vec<(String, String)>, Exit> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty())?;
        Some((name.to_string(), value.to_string()))
    };
    written
        .iter()
        .map(|text| {
            pair(text).ok_or_else(|| Exit::usage(format!("`--var {text}` is not NAME=VALUE")))
        })
        .collect()
}
