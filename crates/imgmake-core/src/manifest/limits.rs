//! `limits { memory "4Gi"; processes 4096; disk "20Gi"; time "30m" }`: what a RUN may use.

use super::context::DecodeContext;
use super::fields::{Fields, twice};
use super::tree::Value;
use super::types::{LimitsNode, Spanned};

pub(super) fn limits(fields: &mut Fields) -> LimitsNode {
    let cx = fields.cx;
    let Some(node) = fields.child("limits") else {
        return LimitsNode::default();
    };
    let mut inner = Fields::new(node, cx);
    let [memory, processes, disk, time] =
        ["memory", "processes", "disk", "time"].map(|name| one(&mut inner, name));
    if node.children.is_none() && node.props.is_empty() {
        inner.missing("a block, such as `limits { memory \"4Gi\" }`");
    }
    inner.finish();
    LimitsNode {
        memory: memory.and_then(|value| size(value, cx)),
        processes: processes.and_then(|value| count(value, cx)),
        disk: disk.and_then(|value| size(value, cx)),
        time: time.and_then(|value| time_span(value, cx)),
    }
}

/// A node with one value, or a property, as in every map.
fn one<'n>(fields: &mut Fields<'n, '_, '_, '_>, name: &'static str) -> Option<&'n Value> {
    let property = fields.prop(name);
    let Some(node) = fields.child(name) else {
        return property;
    };
    if let Some(property) = property {
        twice(fields.cx, property.span, &node.name);
    }
    let mut inner = Fields::new(node, fields.cx);
    let value = inner.required("a value");
    inner.finish();
    value
}

fn size(value: &Value, cx: &DecodeContext) -> Option<Spanned<u64>> {
    let text = cx.text(value)?;
    let refuse = |message: String| {
        cx.error_help(
            value.span,
            message,
            "a size above zero is expected here",
            "write a whole number and a unit: \"512Mi\", \"4Gi\" (Ki, Mi, Gi, Ti), or \"500M\", \"4G\" (K, M, G)",
        );
        None
    };
    match bytes(&text.value) {
        Ok(0) => refuse(format!("with a limit of `{}` no RUN can work", text.value)),
        Ok(value) => Some(Spanned {
            value,
            span: text.span,
        }),
        Err(NoSize::Invalid) => refuse(format!("invalid size `{}`", text.value)),
        Err(NoSize::TooLarge) => refuse(format!("the size `{}` is too large", text.value)),
    }
}

enum NoSize {
    Invalid,
    TooLarge,
}

/// Nothing here has more: one exabyte.
const LARGEST: u64 = 1 << 60;

fn bytes(text: &str) -> Result<u64, NoSize> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit {
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        "K" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        _ => return Err(NoSize::Invalid),
    };
    if number.is_empty() {
        return Err(NoSize::Invalid);
    }
    let number: u64 = number.parse().map_err(|_| NoSize::TooLarge)?;
    let bytes = number.checked_mul(unit).ok_or(NoSize::TooLarge)?;
    if bytes > LARGEST {
        return Err(NoSize::TooLarge);
    }
    Ok(bytes)
}

/// What the kernel can count.
const MOST_PROCESSES: i64 = 4_194_304;

fn count(value: &Value, cx: &DecodeContext) -> Option<Spanned<u64>> {
    let number = cx.integer(value, 1..=MOST_PROCESSES)?;
    Some(Spanned {
        value: number.unsigned_abs(),
        span: value.span,
    })
}

fn time_span(value: &Value, cx: &DecodeContext) -> Option<Spanned<std::time::Duration>> {
    let time = cx.duration(value)?;
    if time.is_zero() {
        cx.error_help(
            value.span,
            "with a time limit of zero no RUN can work",
            "a duration above zero is expected here",
            "write a number and a unit: \"90s\", \"30m\", \"2h\"",
        );
        return None;
    }
    Some(Spanned {
        value: time,
        span: value.span,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        for (text, meant) in [
            ("1Ki", 1024),
            ("64Mi", 64 << 20),
            ("4Gi", 4 << 30),
            ("1Ti", 1 << 40),
            ("5K", 5000),
            ("500M", 500_000_000),
            ("4G", 4_000_000_000),
            ("0Mi", 0),
        ] {
            assert_eq!(bytes(text).ok(), Some(meant), "{text}");
        }
        for wrong in [
            "", "Mi", "4", "4Pi", "4mi", "4 Mi", "-4Mi", "1.5Gi", "4MiB", "+4Mi", " 4Mi",
        ] {
            assert!(matches!(bytes(wrong), Err(NoSize::Invalid)), "{wrong}");
        }
        for large in [
            "99999999999999999999Ki",
            "18446744073709551615Ti",
            "1048577Ti",
        ] {
            assert!(matches!(bytes(large), Err(NoSize::TooLarge)), "{large}");
        }
    }
}
