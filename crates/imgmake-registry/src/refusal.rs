//! What a registry says when it refuses: its status, its code and the first line of its text.
//!
//! Knows answers; knows no request and no credential.

use std::time::SystemTime;

use super::RegistryError;
use super::challenge::Unanswered;
use super::error::{Fault, Refusal, is_transient_status};
use super::http::Answer;
use super::retry::retry_after;

/// Whether an answer came from the registry or from where it sent us.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AnsweredBy {
    Registry,
    Elsewhere,
}

/// Turns an unwelcome answer into an error that knows the pause it asks for.
pub(super) fn refused(answer: Answer, from: AnsweredBy) -> RegistryError {
    let status = answer.status;
    let pause = answer
        .header("Retry-After")
        .filter(|_| is_transient_status(status))
        .and_then(|v| retry_after(v, SystemTime::now()));
    let host = answer.url.host_str().unwrap_or_default().to_string();
    let unanswered = match status {
        401 => Unanswered::of(answer.headers("WWW-Authenticate")),
        _ => None,
    };
    let body = ErrorBody::parse(&answer.excerpt());
    let refusal = Refusal {
        status,
        redirected_to: (from == AnsweredBy::Elsewhere).then_some(host),
        pause,
        unanswered,
        wants_tls: status == 400 && wants_tls(body.message.as_bytes()),
        is_immutable_tag: body.is_immutable_tag(),
        code: body.code,
        message: body.message,
    };
    Fault::Answer(refusal).into()
}

/// Go's and nginx's words to plain HTTP on a TLS port.
pub(super) fn wants_tls(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("HTTPS")
}

/// The code and the text of an error answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ErrorBody {
    pub code: Option<String>,
    pub message: String,
}

impl ErrorBody {
    /// Reads an error body: the specification's JSON, the token servers' and
    /// clouds' looser JSON, or the first line of whatever text came.
    pub(super) fn parse(body: &[u8]) -> ErrorBody {
        let text = String::from_utf8_lossy(body);
        match serde_json::from_slice::<serde_json::Value>(body) {
            Ok(value) => ErrorBody::from_value(&value),
            // JSON that was cut, or is several documents.
            Err(_) if text.trim_start().starts_with(['{', '[']) => ErrorBody::default(),
            Err(_) => ErrorBody {
                code: None,
                message: first_line(&text),
            },
        }
    }

    /// There is no code for it: these are the words of ECR and of Artifact Registry.
    fn is_immutable_tag(&self) -> bool {
        let words = ["tag is immutable", "tag immutability"];
        self.code.as_deref() == Some("ImageTagAlreadyExistsException")
            || words.iter().any(|words| self.message.contains(words))
    }

    fn from_value(value: &serde_json::Value) -> ErrorBody {
        if let Some(text) = value.as_str() {
            return ErrorBody {
                code: None,
                message: first_line(text),
            };
        }
        let text = |v: &serde_json::Value, names: &[&str]| {
            names
                .iter()
                .find_map(|n| v.get(n).and_then(serde_json::Value::as_str))
                .map(first_line)
                .filter(|t| !t.is_empty())
        };
        let first = value.get("errors").and_then(|e| e.get(0)).unwrap_or(value);
        let mut message = text(
            first,
            &[
                "message",
                "Message",
                "error_description",
                "details",
                "detail",
                "error",
            ],
        )
        .unwrap_or_default();
        // A detail that is an object or a list is for programs.
        if let Some(detail) = first.get("detail").and_then(serde_json::Value::as_str) {
            let detail = first_line(detail);
            if !detail.is_empty() && !message.contains(&detail) {
                message = format!("{message} ({detail})");
            }
        }
        ErrorBody {
            code: text(first, &["code", "__type", "error"]),
            message,
        }
    }
}

/// The first line of a text that has something in it, printable and short; tags
/// of an HTML page go.
pub(super) fn first_line(text: &str) -> String {
    let mut plain = String::new();
    let mut tag = false;
    for c in text.chars().take(4000) {
        match c {
            '<' => tag = true,
            '>' if tag => tag = false,
            _ if tag => {}
            '\r' => {}
            c if c.is_control() && c != '\n' => plain.push(' '),
            c => plain.push(c),
        }
    }
    plain
        .lines()
        .map(str::trim)
        .find(|l| !l.is_empty())
        .unwrap_or("")
        .chars()
        .take(300)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// errors: A body that is not the JSON of the specification is reported by its first line.
    #[test]
    fn bodies_that_are_not_json_give_their_first_line() {
        let body =
            ErrorBody::parse(b"<html><head>\n<title>502 Bad Gateway</title></head>\n</html>");
        assert_eq!(body.message, "502 Bad Gateway");
        assert_eq!(ErrorBody::parse(b"").message, "");
        assert_eq!(ErrorBody::parse(br#""denied""#).message, "denied");
        assert_eq!(
            ErrorBody::parse(b"You have reached your pull rate limit.\nMore").message,
            "You have reached your pull rate limit."
        );
    }

    #[test]
    fn no_json_comes_into_a_message() {
        let message = |body: &str| ErrorBody::parse(body.as_bytes()).message;
        let detail = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required","detail":[{"Type":"repository","Action":"pull"}]}]}"#;
        assert_eq!(message(detail), "authentication required");
        let text = r#"{"errors":[{"code":"DENIED","message":"denied","detail":"quota exceeded"}]}"#;
        assert_eq!(message(text), "denied (quota exceeded)");
        for other in [
            r#"{"a":{"b":1}}"#,
            r#"[{"a":1}]"#,
            r#"{"errors":[{"message":"cut"#,
            "{}\n{}",
        ] {
            assert_eq!(message(other), "", "{other}");
        }
    }
}
