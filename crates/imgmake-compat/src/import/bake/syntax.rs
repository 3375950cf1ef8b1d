//! The two ways of writing a bake file, as blocks whose attributes are expressions.

use hcl_edit::Span;
use hcl_edit::structure::Body;

use super::expression::Expression;
use super::json::{self, Json, Kind, Name};
use super::number::Number;
use super::problem::Problem;
use super::value::Value;
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

impl Block {
    /// Its lines are counted on from those of the files before.
    pub(super) fn move_down(&mut self, by: usize) {
        let own = std::iter::once(&mut self.line);
        let lines = own.chain(
            self.attributes
                .iter_mut()
                .map(|attribute| &mut attribute.line),
        );
        for line in lines {
            *line = line.map(|line| line + by);
        }
        self.blocks.iter_mut().for_each(|block| block.move_down(by));
    }
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
    let lines = &Lines::new(text);
    let mut blocks = Vec::new();
    for structure in &body {
        if let Some(attribute) = structure.as_attribute() {
            // `TAG = "1"` at the top is a variable in short.
            let key = attribute.key.as_str().to_string();
            let line = lines.of(attribute.key.span());
            let value = expression(&attribute.value, line)?;
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
            let line = lines.of(block.ident.span());
            known_kind(block.ident.as_str(), line)?;
            if block.labels.len() != 1 {
                let message = format!("a `{}` has one name", block.ident.as_str());
                return Err(
                    Problem::at(line, message).with_help("write it in quotes before the `{`")
                );
            }
            blocks.push(block_of(lines, block)?);
        }
    }
    Ok(blocks)
}

fn block_of(lines: &Lines, block: &hcl_edit::structure::Block) -> Result<Block, Problem> {
    let line = lines.of(block.ident.span());
    let name = block.labels.first().map(|label| label.as_str().to_string());
    Ok(Block {
        kind: block.ident.as_str().to_string(),
        name: name.unwrap_or_default(),
        line,
        attributes: attributes_of(lines, &block.body)?,
        blocks: block
            .body
            .blocks()
            .map(|inner| block_of(lines, inner))
            .collect::<Result<_, _>>()?,
    })
}

fn attributes_of(lines: &Lines, body: &Body) -> Result<Vec<Attribute>, Problem> {
    let one = |attribute: &hcl_edit::structure::Attribute| {
        let line = lines.of(attribute.key.span());
        Ok(Attribute {
            key: attribute.key.as_str().to_string(),
            line,
            value: expression(&attribute.value, line)?,
        })
    };
    body.attributes().map(one).collect()
}

fn expression(
    written: &hcl_edit::expr::Expression,
    line: Option<usize>,
) -> Result<Expression, Problem> {
    Expression::read(written).map_err(|why| Problem::at(line, why))
}

/// Where each line of a text ends.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Lines {
        Lines(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    fn of(&self, span: Option<std::ops::Range<usize>>) -> Option<usize> {
        let start = span?.start;
        Some(self.0.partition_point(|end| *end < start) + 1)
    }
}

fn known_kind(kind: &str, line: Option<usize>) -> Result<(), Problem> {
    if KINDS.contains(&kind) {
        return Ok(());
    }
    let problem = Problem::at(line, format!("unknown block `{kind}`"));
    Err(problem.with_help(suggest::help(kind, KINDS).unwrap_or_default()))
}

/// `{"target": {"app": {…}}, "group": …, "variable": …}`; texts are templates, as in HCL.
/// What holds blocks, at any level, may be an object or a list of objects; `//` is a comment.
///
/// # Errors
/// As [`hcl`].
pub(super) fn json(text: &str) -> Result<Vec<Block>, Problem> {
    let document = json::parse(text)?;
    let mut blocks = Vec::new();
    for (kind, named) in members(&document, "a bake file in JSON is an object")? {
        let line = Some(kind.line);
        if !KINDS.contains(&kind.text.as_str()) && !matches!(named.kind, Kind::Object(_)) {
            // As `TAG = "1"` in HCL.
            let default = attribute("default", line, named)?;
            blocks.push(block("variable", &kind.text, line, vec![default]));
            continue;
        }
        known_kind(&kind.text, line)?;
        let expected = format!("`{}` is an object of objects by name", kind.text);
        for (name, bodies) in members(named, &expected)? {
            for body in bodies_of(bodies) {
                blocks.push(json_block(&kind.text, &name.text, Some(name.line), body)?);
            }
        }
    }
    Ok(blocks)
}

fn block(kind: &str, name: &str, line: Option<usize>, attributes: Vec<Attribute>) -> Block {
    Block {
        kind: kind.to_string(),
        name: name.to_string(),
        line,
        attributes,
        blocks: Vec::new(),
    }
}

fn attribute(key: &str, line: Option<usize>, value: &Json) -> Result<Attribute, Problem> {
    Ok(Attribute {
        key: key.to_string(),
        line,
        value: from_json(value)?,
    })
}

fn json_block(kind: &str, name: &str, line: Option<usize>, body: &Json) -> Result<Block, Problem> {
    let mut block = block(kind, name, line, Vec::new());
    for (key, value) in members(body, &format!("invalid object: {kind} `{name}`"))? {
        let line = Some(key.line);
        if kind == "variable" && key.text == "validation" {
            for body in bodies_of(value) {
                block
                    .blocks
                    .push(json_block("validation", "validation", line, body)?);
            }
            continue;
        }
        block.attributes.push(attribute(&key.text, line, value)?);
    }
    Ok(block)
}

/// One block, or several in a list; null is none.
fn bodies_of(value: &Json) -> Vec<&Json> {
    match &value.kind {
        Kind::Null => Vec::new(),
        Kind::List(list) => list.iter().flat_map(bodies_of).collect(),
        _ => vec![value],
    }
}

/// What an object holds, or all objects of a list.
fn members<'a>(value: &'a Json, expected: &str) -> Result<Vec<(&'a Name, &'a Json)>, Problem> {
    match &value.kind {
        Kind::Object(pairs) => {
            let said = pairs.iter().filter(|(name, _)| name.text != "//");
            Ok(said.map(|(name, value)| (name, value)).collect())
        }
        Kind::List(list) => {
            let each = list.iter().map(|one| members(one, expected));
            Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
        }
        _ => Err(Problem::at(Some(value.line), expected)),
    }
}

fn from_json(value: &Json) -> Result<Expression, Problem> {
    Ok(match &value.kind {
        Kind::Null => Expression::Value(Value::Null),
        Kind::Bool(flag) => Expression::Value(Value::Bool(*flag)),
        Kind::Number(text) => {
            let wrong = || Problem::at(Some(value.line), format!("invalid number `{text}`"));
            Expression::Value(Value::Number(Number::parse(text).ok_or_else(wrong)?))
        }
        Kind::Text(text) => template(text, value.line)?,
        Kind::List(list) => {
            Expression::Array(list.iter().map(from_json).collect::<Result<_, _>>()?)
        }
        Kind::Object(pairs) => {
            let pair = |(name, value): &(Name, Json)| {
                Ok((template(&name.text, name.line)?, from_json(value)?))
            };
            Expression::Object(pairs.iter().map(pair).collect::<Result<_, Problem>>()?)
        }
    })
}

fn template(text: &str, line: usize) -> Result<Expression, Problem> {
    let wrong = |why: &str| Problem::at(Some(line), format!("invalid template: {why}"));
    let parsed = hcl_edit::parser::parse_template(text).map_err(|error| wrong(error.message()))?;
    Expression::template(&parsed).map_err(|why| wrong(&why))
}
