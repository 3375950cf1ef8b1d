//! `if "${A}"`, `if "${A}" equals="x"`: whether a target exists.

use super::context::DecodeContext;
use super::fields::Fields;
use super::tree::Node;
use super::variables;

/// Whether every `if` of a target holds. One that is broken does, so that only its own mistake is told.
pub(super) fn all_hold(fields: &mut Fields) -> bool {
    let cx = fields.cx;
    let conditions = fields.children("if");
    // Each is read, so that each mistake is told.
    let held: Vec<bool> = conditions.map(|node| holds(node, cx)).collect();
    held.into_iter().all(|one| one)
}

fn holds(node: &Node, cx: &DecodeContext) -> bool {
    let mut fields = Fields::new(node, cx);
    if node.props.is_empty() {
        let value = fields.required("a boolean, such as `\"${RELEASE}\"`");
        fields.finish();
        return value.and_then(|value| cx.boolean(value)).unwrap_or(true);
    }
    let value = fields.required("what is compared, such as `\"${BRANCH}\"`");
    let text = value.and_then(|value| cx.text(value));
    let equals = fields.prop_text("equals");
    let differs = fields.prop_text("not-equals");
    let pattern = fields.prop("matches");
    let pattern = pattern.and_then(|value| variables::regular_expression(value, cx));
    fields.finish();
    let Some(text) = text.map(|text| text.value) else {
        return true;
    };
    equals.is_none_or(|other| text == other.value)
        && differs.is_none_or(|other| text != other.value)
        && pattern.is_none_or(|(regex, _)| regex.is_match(&text))
}
