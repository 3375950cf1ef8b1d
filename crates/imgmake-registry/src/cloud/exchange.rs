//! Requests to token services and metadata services, and what their answers mean.

use std::time::Duration;

use ureq::http::Method;
use url::Url;

use super::super::RegistryError;
use super::super::http::{Body, Call, EMPTY, exchange};
use super::source::Transport;

/// A cloud's answer is asked for again this long before it ends.
const MARGIN: Duration = Duration::from_secs(300);

/// Answers of token services are small.
pub(super) const SMALL: u64 = 1 << 20;

/// A metadata service answers at once or is not there at all.
const METADATA_TIMEOUT: Duration = Duration::from_secs(3);

/// POSTs a form and reads JSON back.
pub(super) fn post_form(
    transport: &dyn Transport,
    url: Url,
    fields: &[(&str, &str)],
) -> Result<serde_json::Value, RegistryError> {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    let call = Call::new(Method::POST, url)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("Accept", "application/json")
        .body(Body::Bytes(form.as_bytes()));
    json(&transport.send_out_of_band(&call, None)?.bytes(SMALL)?)
}

pub(super) fn json(bytes: &[u8]) -> Result<serde_json::Value, RegistryError> {
    serde_json::from_slice(bytes).map_err(|_| {
        RegistryError::invalid("a token service answered with something that is not JSON")
    })
}

pub(super) fn text<'v>(value: &'v serde_json::Value, name: &str) -> Result<&'v str, RegistryError> {
    value
        .get(name)
        .and_then(serde_json::Value::as_str)
        .filter(|t| !t.is_empty())
        .ok_or_else(|| RegistryError::invalid(format!("a token service's answer has no `{name}`")))
}

/// `expires_in`, a number or a number in a string; an hour when it is missing.
pub(super) fn lifetime(value: &serde_json::Value) -> Duration {
    let seconds = value.get("expires_in").and_then(|v| match v {
        serde_json::Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    });
    lasting(Duration::from_secs(seconds.unwrap_or(3600)))
}

/// What is left of a lifetime after the margin, or half of a short one.
pub(super) fn lasting(whole: Duration) -> Duration {
    whole.saturating_sub(MARGIN).max(whole / 2)
}

/// Asks a metadata service: no proxy, no patience, no retries.
pub(super) fn metadata(
    method: Method,
    url: Url,
    headers: &[(&'static str, &str)],
) -> Result<Vec<u8>, RegistryError> {
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(METADATA_TIMEOUT))
        .build()
        .new_agent();
    let mut call = Call::new(method, url);
    for (name, value) in headers {
        call = call.header(name, *value);
    }
    if call.method != Method::GET {
        call = call.body(EMPTY);
    }
    let answer = exchange(&agent, &call, None)?;
    if !answer.is_success() {
        return Err(RegistryError::invalid(format!(
            "the metadata service answered {}",
            answer.status
        )));
    }
    answer.bytes(SMALL)
}
