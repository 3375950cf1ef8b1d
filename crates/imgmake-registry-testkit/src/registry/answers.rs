//! Errors in the form of the specification (section "Error Codes").

use serde_json::json;

use crate::http::Response;

pub(super) fn error(status: u16, code: &str, message: &str) -> Response {
    let body = json!({ "errors": [{ "code": code, "message": message }] });
    Response::new(status)
        .header("Content-Type", "application/json")
        .body(body.to_string())
}
