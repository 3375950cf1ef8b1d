//! The graph as a picture: columns by distance from what needs nothing, edges as curves
//! from a need to who needs it. Plain SVG; the same graph gives the same bytes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::edge::why;
use super::state::State;
use crate::targets::kind_name;
use imgmake_core::graph::Graph;

const HEIGHT: usize = 44;
const ROW: usize = 68;
const GAP: usize = 90;
const MARGIN: usize = 16;
/// Of a character of the font, upwards.
const CHARACTER: usize = 9;

const STYLE: &str = "text { font: 14px ui-monospace, monospace; fill: #1b1f24 } \
.kind, .why { font-size: 11px; fill: #57606a } .why { paint-order: stroke; stroke: #fff; stroke-width: 4 } rect { fill: #f6f8fa; stroke: #8c959f } \
.build rect { fill: #ddf4ff } .scan rect { fill: #fff8c5 } .push rect { fill: #dafbe1 } \
.stale rect { stroke: #e36209; stroke-width: 2.5 } .always rect { stroke: #2f81f7; stroke-width: 2.5 } .fresh rect { stroke: #2da44e; stroke-width: 1.5 } \
path { fill: none; stroke: #8c959f; stroke-width: 1.5 } marker path { fill: #8c959f; stroke: none } \
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .kind, .why { fill: #9198a1 } .why { stroke: #0d1117 } \
rect { fill: #161b22 } .build rect { fill: #0c2d6b } .scan rect { fill: #4b2900 } .push rect { fill: #033a16 } }";

/// A target, or a place where an edge crosses a column.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cell {
    Target(usize),
    Passing,
}

struct Layout {
    cells: Vec<Cell>,
    column: Vec<usize>,
    row: Vec<usize>,
    /// From a need to who needs it, over the columns between: cells, and why.
    edges: Vec<(Vec<usize>, &'static str)>,
}

/// `states` are by the targets' names, where they are known.
pub fn svg(graph: &Graph, states: &BTreeMap<String, State>) -> String {
    let layout = Layout::of(graph);
    let names: Vec<&str> = graph.ids().map(|id| graph.name(id)).collect();
    let kinds: Vec<&str> = graph.ids().map(|id| kind_name(graph, id)).collect();
    let columns = layout.column.iter().max().map_or(0, |last| last + 1);
    let mut widths = vec![0; columns];
    for (cell, column) in layout.cells.iter().zip(&layout.column) {
        if let Cell::Target(at) = cell {
            let width = names[*at].chars().count().max(5) * CHARACTER + 24;
            widths[*column] = width.max(widths[*column]);
        }
    }
    let left = |column: usize| MARGIN + widths[..column].iter().sum::<usize>() + column * GAP;
    let top = |cell: usize| MARGIN + layout.row[cell] * ROW;
    let rows = layout.row.iter().max().map_or(0, |last| last + 1);
    let width = left(columns).saturating_sub(GAP) + MARGIN;
    let height = MARGIN + rows * ROW;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
         <style>{STYLE}</style>\n\
         <defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\">\
         <path d=\"M0 0L8 4L0 8z\"/></marker></defs>\n"
    );
    for (cells, why) in &layout.edges {
        let at = |cell: usize| {
            let (column, middle) = (layout.column[cell], top(cell) + HEIGHT / 2);
            (left(column), left(column) + widths[column], middle)
        };
        let (_, mut x, mut y) = at(cells[0]);
        let mut path = format!("M{x} {y}");
        for cell in &cells[1..] {
            let (enter, leave, middle) = at(*cell);
            let half = (enter - x) / 2;
            let _ = write!(
                path,
                "C{} {y} {} {middle} {enter} {middle}",
                x + half,
                enter - half
            );
            if layout.cells[*cell] == Cell::Passing {
                let _ = write!(path, "H{leave}");
            }
            (x, y) = (leave, middle);
        }
        let (_, from, y) = at(cells[0]);
        let _ = writeln!(text, "<path d=\"{path}\" marker-end=\"url(#arrow)\"/>");
        let (_, _, next) = at(cells[1]);
        let label = (y * 3 + next) / 4 - 5;
        let _ = writeln!(
            text,
            "<text class=\"why\" x=\"{}\" y=\"{label}\">{why}</text>",
            from + 8
        );
    }
    for (cell, place) in layout.cells.iter().enumerate() {
        let Cell::Target(at) = place else { continue };
        let (x, y) = (left(layout.column[cell]), top(cell));
        let (name, kind) = (escaped(names[*at]), kinds[*at]);
        let state = states.get(names[*at]);
        let class = state.map_or(String::new(), |state| format!(" {}", state.kind.class()));
        let title = state.map_or(String::new(), |state| {
            let reasons = state
                .reasons
                .first()
                .map_or(String::new(), |first| format!(": {first}"));
            format!(
                "<title>{}{}</title>",
                state.kind.word(),
                crate::page::escaped(&reasons)
            )
        });
        let _ = writeln!(
            text,
            "<g class=\"{kind}{class}\">{title}<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{HEIGHT}\" rx=\"6\"/>\
             <text x=\"{}\" y=\"{}\">{name}</text><text class=\"kind\" x=\"{}\" y=\"{}\">{kind}</text></g>",
            widths[layout.column[cell]],
            x + 12,
            y + 19,
            x + 12,
            y + 35,
        );
    }
    text.push_str("</svg>\n");
    text
}

impl Layout {
    fn of(graph: &Graph) -> Layout {
        let ids: Vec<_> = graph.ids().collect();
        let place: BTreeMap<_, usize> = ids.iter().enumerate().map(|(at, id)| (*id, at)).collect();
        let needs: Vec<Vec<(usize, &'static str)>> = ids
            .iter()
            .map(|id| {
                let needs = graph.dependencies(*id).iter();
                needs
                    .map(|(need, kind)| (place[need], why(*kind)))
                    .collect()
            })
            .collect();
        let mut layout = Layout {
            cells: (0..ids.len()).map(Cell::Target).collect(),
            column: columns(&needs),
            row: vec![0; ids.len()],
            edges: Vec::new(),
        };
        for (to, needs) in needs.iter().enumerate() {
            // Two reasons for one edge are one line.
            let mut reasons: BTreeMap<usize, &'static str> = BTreeMap::new();
            for (from, why) in needs {
                reasons.entry(*from).or_insert(why);
            }
            for (from, why) in reasons {
                layout.connect(from, to, why);
            }
        }
        layout.order();
        layout
    }

    fn connect(&mut self, from: usize, to: usize, why: &'static str) {
        let mut cells = vec![from];
        for column in self.column[from] + 1..self.column[to] {
            cells.push(self.cells.len());
            self.cells.push(Cell::Passing);
            self.column.push(column);
            self.row.push(0);
        }
        cells.push(to);
        self.edges.push((cells, why));
    }

    /// Each cell as near as can be to what it is connected with, from left to right and
    /// back, a few times.
    fn order(&mut self) {
        let mut neighbors: Vec<Vec<usize>> = vec![Vec::new(); self.cells.len()];
        for (cells, _) in &self.edges {
            for pair in cells.windows(2) {
                neighbors[pair[0]].push(pair[1]);
                neighbors[pair[1]].push(pair[0]);
            }
        }
        let last = self.column.iter().max().copied().unwrap_or(0);
        let mut columns: Vec<Vec<usize>> = vec![Vec::new(); last + 1];
        for (cell, column) in self.column.iter().enumerate() {
            columns[*column].push(cell);
        }
        self.rows(&columns);
        for round in 0..8 {
            let forward = round % 2 == 0;
            for step in 0..=last {
                let column = if forward { step } else { last - step };
                let wanted = |cell: &usize| {
                    let side = neighbors[*cell]
                        .iter()
                        .filter(|other| (self.column[**other] < column) == forward);
                    let rows: Vec<usize> = side.map(|other| self.row[*other]).collect();
                    let sum: usize = rows.iter().sum();
                    match rows.len() {
                        0 => self.row[*cell] * 1000,
                        count => sum * 1000 / count,
                    }
                };
                let mut cells = columns[column].clone();
                cells.sort_by_key(wanted);
                columns[column] = cells;
                self.rows(&columns);
            }
        }
    }

    fn rows(&mut self, columns: &[Vec<usize>]) {
        for column in columns {
            for (row, cell) in column.iter().enumerate() {
                self.row[*cell] = row;
            }
        }
    }
}

/// One to the right of the rightmost need. The graph has no circles.
fn columns(needs: &[Vec<(usize, &'static str)>]) -> Vec<usize> {
    let mut columns = vec![0; needs.len()];
    let mut moved = true;
    while moved {
        moved = false;
        for (at, needs) in needs.iter().enumerate() {
            let wanted = needs
                .iter()
                .map(|(need, _)| columns[*need] + 1)
                .max()
                .unwrap_or(0);
            moved |= wanted > columns[at];
            columns[at] = wanted.max(columns[at]);
        }
    }
    columns
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
