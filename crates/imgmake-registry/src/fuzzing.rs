//! What reads answers of registries and files of logins, as functions of bytes, for `fuzz/`.

use std::time::Instant;

use super::refusal::ErrorBody;
use super::{credentials, referrers, token};

/// Reads bytes as each document that a registry or a token server answers with.
pub fn answer(bytes: &[u8]) {
    let _ = ErrorBody::parse(bytes);
    let _ = token::granted(bytes, Instant::now());
    referrers::read(bytes);
}

/// Reads bytes as docker's `config.json`.
pub fn logins(bytes: &[u8]) {
    let _ = credentials::parse(bytes, "config.json");
}
