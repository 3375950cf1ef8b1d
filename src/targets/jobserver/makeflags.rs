//! What MAKEFLAGS says of a jobserver, and what it says for the commands that are started here
//! (GNU make's manual, "POSIX Jobserver Interaction").

use std::path::PathBuf;

/// Where tokens are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Descriptors of a pipe that a process inherits: to read, to write.
    Pipe(i32, i32),
    /// Since make 4.4.
    Fifo(PathBuf),
}

/// The jobserver that MAKEFLAGS names; the last one counts.
pub fn auth(makeflags: &str) -> Option<Auth> {
    let value = flags(makeflags)
        .filter_map(|word| {
            let new = word.strip_prefix("--jobserver-auth=");
            // Before make 4.2.
            new.or_else(|| word.strip_prefix("--jobserver-fds="))
        })
        .last()?;
    if let Some(path) = value.strip_prefix("fifo:") {
        return Some(Auth::Fifo(PathBuf::from(path)));
    }
    let (read, write) = value.split_once(',')?;
    Some(Auth::Pipe(read.parse().ok()?, write.parse().ok()?))
}

/// MAKEFLAGS for a command: as it was, with this jobserver in place of another, or of a number of jobs.
pub fn with_pipe(makeflags: &str, jobs: usize, read: i32, write: i32) -> String {
    let is_of_jobs = |word: &str| {
        ["-j", "--jobs", "--jobserver-auth=", "--jobserver-fds="]
            .iter()
            .any(|start| word.starts_with(start))
    };
    let mut words: Vec<&str> = flags(makeflags).filter(|word| !is_of_jobs(word)).collect();
    // The first word may be letters without a dash, and an empty one stands for none.
    if words.first().is_none_or(|first| first.starts_with('-')) {
        words.insert(0, "");
    }
    let own = format!("-j{jobs} --jobserver-fds={read},{write} --jobserver-auth={read},{write}");
    words.push(&own);
    let variables = variables(makeflags);
    if !variables.is_empty() {
        words.extend(["--", variables]);
    }
    words.join(" ")
}

/// What stands before `--`.
fn flags(makeflags: &str) -> impl Iterator<Item = &str> {
    makeflags
        .split_whitespace()
        .take_while(|word| *word != "--")
}

/// `NAME=VALUE`s of make's command line, behind `--`.
fn variables(makeflags: &str) -> &str {
    match makeflags.strip_prefix("-- ") {
        Some(rest) => rest,
        None => makeflags.split_once(" -- ").map_or("", |(_, rest)| rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_make_is_understood() {
        for (text, expected) in [
            (" -j4 --jobserver-auth=3,4", Some(Auth::Pipe(3, 4))),
            ("k -j --jobserver-fds=5,6", Some(Auth::Pipe(5, 6))),
            (" -j4 --jobserver-auth=-2,-2", Some(Auth::Pipe(-2, -2))),
            (
                " -j4 --jobserver-auth=fifo:/tmp/GMfifo7",
                Some(Auth::Fifo("/tmp/GMfifo7".into())),
            ),
            (
                " --jobserver-auth=3,4 --jobserver-auth=5,6",
                Some(Auth::Pipe(5, 6)),
            ),
            ("", None),
            ("ks", None),
            ("-j4", None),
            (" --jobserver-auth=3", None),
            (" -- X=--jobserver-auth=3,4", None),
            (" -- --jobserver-auth=3,4", None),
        ] {
            assert_eq!(auth(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_command_gets_this_jobserver_and_what_else_make_said() {
        let own = "-j2 --jobserver-fds=8,9 --jobserver-auth=8,9";
        for (before, after) in [
            ("", format!(" {own}")),
            ("-j4", format!(" {own}")),
            ("ks -j4 --jobserver-auth=3,4", format!("ks {own}")),
            (
                " -j --jobserver-auth=fifo:/x --no-print-directory -- A=-j3 B=2",
                format!(" --no-print-directory {own} -- A=-j3 B=2"),
            ),
            ("-- A=1", format!(" {own} -- A=1")),
        ] {
            assert_eq!(with_pipe(before, 2, 8, 9), after, "{before:?}");
        }
    }
}
