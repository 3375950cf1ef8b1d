//! The rows, by what they are about.

mod config;
mod files;
mod run;
mod stages;
mod words;

use super::difference::Difference;

pub const ALL: [&[Difference]; 5] = [
    words::ROWS,
    stages::ROWS,
    files::ROWS,
    run::ROWS,
    config::ROWS,
];
