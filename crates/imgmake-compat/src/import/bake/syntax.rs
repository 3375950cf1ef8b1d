//! The two ways of writing a bake file, as blocks whose attributes are expressions.

use hcl::Expression;
use hcl::expr::TemplateExpr;
use hcl_edit::Span;
use hcl_edit::structure::Body;
use serde_json::Value;

use super::problem::Problem;
use imgmake_core::manifest::suggest;

pub(super) struct Block {
    /// `target`, `group`, `variable`, `function`.
    pub kind: String,
    pub name: String,
    pub line: Option<usize>,
    pub attributes: Vec<Attribute>,
    /// `validation` in a variable.
    pub blocks: Vec<Block>,
}

pub(super) struct Attribute {
    pub key: String,
    pub line: Option<usize>,
    pub value: Expression,
}

const KINDS: [&str; 4] = ["target", "group", "variable", "function"];

/// # Errors
/// Invalid HCL, or a block that bake does not have.
pub(super) fn hcl(text: &str) -> Result<Vec<Block>, Problem> {
    let body = hcl_edit::parser::parse_body(text).map_err(|error| {
        let line = error.location().line();
        Problem::at(Some(line), format!("invalid HCL: {}", error.message()))
    })?;
    let mut blocks = Vec::new();
    for structure in &body {
        if let Some(attribute) = structure.as_attribute() {
            // `TAG = "1"` at the top is a variable in short.
            let key = attribute.key.as_str().to_string();
            let line = line_of(text, attribute.key.span());
            let value = expression(text, attribute.value.span(), line)?;
            let default = Attribute {
                key: "default".into(),
                line,
                value,
            };
            blocks.push(Block {
                kind: "variable".into(),
                name: key,
                line,
                attributes: vec![default],
                blocks: Vec::new(),
            });
        }
        if let Some(block) = structure.as_block() {
            blocks.push(block_of(text, block)?);
        }
    }
    for block in &blocks {
        known_kind(&block.kind, block.line)?;
    }
    Ok(blocks)
}

fn block_of(text: &str, block: &hcl_edit::structure::Block) -> Result<Block, Problem> {
    let line = line_of(text, block.ident.span());
    let name = block.labels.first().map(|label| label.as_str().to_string());
    Ok(Block {
        kind: block.ident.as_str().to_string(),
        name: name.unwrap_or_default(),
        line,
        attributes: attributes_of(text, &block.body)?,
        blocks: block
            .body
            .blocks()
            .map(|inner| block_of(text, inner))
            .collect::<Result<_, _>>()?,
    })
}

fn attributes_of(text: &str, body: &Body) -> Result<Vec<Attribute>, Problem> {
    let one = |attribute: &hcl_edit::structure::Attribute| {
        let line = line_of(text, attribute.key.span());
        Ok(Attribute {
            key: attribute.key.as_str().to_string(),
            line,
            value: expression(text, attribute.value.span(), line)?,
        })
    };
    body.attributes().map(one).collect()
}

/// The two crates of one parser: one knows places, the other evaluates.
fn expression(
    text: &str,
    span: Option<std::ops::Range<usize>>,
    line: Option<usize>,
) -> Result<Expression, Problem> {
    let source = span.and_then(|span| text.get(span)).unwrap_or_default();
    source
        .parse()
        .map_err(|error| Problem::at(line, format!("invalid expression: {error}")))
}

fn line_of(text: &str, span: Option<std::ops::Range<usize>>) -> Option<usize> {
    let before = text.get(..span?.start)?;
    Some(before.matches('\n').count() + 1)
}

fn known_kind(kind: &str, line: Option<usize>) -> Result<(), Problem> {
    if KINDS.contains(&kind) {
        return Ok(());
    }
    let problem = Problem::at(line, format!("unknown block `{kind}`"));
    Err(problem.with_help(suggest::help(kind, KINDS).unwrap_or_default()))
}

/// `{"target": {"app": {…}}, "group": …, "variable": …}`; texts are templates, as in HCL.
///
/// # Errors
/// As [`hcl`].
pub(super) fn json(text: &str) -> Result<Vec<Block>, Problem> {
    let document: Value = serde_json::from_str(text)
        .map_err(|error| Problem::at(Some(error.line()), format!("invalid JSON: {error}")))?;
    let kinds = document
        .as_object()
        .ok_or_else(|| Problem::at(None, "a bake file in JSON is an object"))?;
    let mut blocks = Vec::new();
    for (kind, named) in kinds {
        known_kind(kind, key_line(text, kind))?;
        let expected = || {
            Problem::at(
                key_line(text, kind),
                format!("`{kind}` holds objects by name"),
            )
        };
        // One object, or a list of them.
        let objects = match named {
            Value::Array(list) => list.iter().collect(),
            other => vec![other],
        };
        for object in objects {
            for (name, body) in object.as_object().ok_or_else(expected)? {
                blocks.push(json_block(text, kind, name, body)?);
            }
        }
    }
    Ok(blocks)
}

fn json_block(text: &str, kind: &str, name: &str, body: &Value) -> Result<Block, Problem> {
    let line = key_line(text, name);
    let body = body
        .as_object()
        .ok_or_else(|| Problem::at(line, format!("invalid object: {kind} `{name}`")))?;
    let mut block = Block {
        kind: kind.to_string(),
        name: name.to_string(),
        line,
        attributes: Vec::new(),
        blocks: Vec::new(),
    };
    for (key, value) in body {
        if kind == "variable" && key == "validation" {
            let inner = match value {
                Value::Array(list) => list.iter().collect(),
                other => vec![other],
            };
            for value in inner {
                block.blocks.push(json_block(text, key, key, value)?);
            }
            continue;
        }
        block.attributes.push(Attribute {
            key: key.clone(),
            line: key_line(text, key),
            value: from_json(value),
        });
    }
    Ok(block)
}

/// Where a key is first: near enough to find it.
fn key_line(text: &str, key: &str) -> Option<usize> {
    let at = text.find(&format!("\"{key}\""))?;
    Some(text[..at].matches('\n').count() + 1)
}

fn from_json(value: &Value) -> Expression {
    match value {
        Value::String(text) => TemplateExpr::from(text.as_str()).into(),
        Value::Array(list) => Expression::Array(list.iter().map(from_json).collect()),
        Value::Object(map) => {
            let pair = |(key, value): (&String, &Value)| {
                (
                    hcl::ObjectKey::Expression(Expression::String(key.clone())),
                    from_json(value),
                )
            };
            Expression::Object(map.iter().map(pair).collect())
        }
        Value::Null => Expression::Null,
        Value::Bool(bool) => Expression::Bool(*bool),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Expression::Number(whole.into()),
            None => number
                .as_f64()
                .and_then(hcl::Number::from_f64)
                .map_or(Expression::Null, Expression::Number),
        },
    }
}
