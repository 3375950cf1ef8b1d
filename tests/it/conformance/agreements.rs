//! Other builders on the same cases. What one does differently is a row of the table that
//! `imgmake lint --compat` reads: found in the case's Dockerfile, or named by its request.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use imgmake_dockerfile::Dockerfile;
use imgmake_dockerfile::compat::{Asked, Builder, Difference, Shown, Version, compare};

use super::case::{Case, cases};
use super::difference;
use super::peer::{self, Buildah, Peer, read};
use super::workshop::Workshop;
use crate::ground::expected::assert_part;

/// Rows that a case's Dockerfiles show for a builder and a version of it.
fn found(case: &Case, builder: Builder, version: &Version) -> BTreeSet<&'static str> {
    let args: BTreeMap<String, String> = case.request.args.iter().cloned().collect();
    let asked = Asked {
        args: &args,
        stage: case.request.stage.as_deref(),
    };
    let mut rows = BTreeSet::new();
    for bytes in case.dockerfiles() {
        let file = Dockerfile::parse(&bytes).unwrap();
        let findings = compare(&file, &bytes, &asked, &[builder]);
        let holds = |row: &&Difference| row.by(builder).unwrap().holds_for(version);
        rows.extend(
            findings
                .iter()
                .map(|f| f.difference)
                .filter(holds)
                .map(|d| d.name),
        );
    }
    rows
}

/// The same with those that the request names.
fn rows(case: &Case, builder: Builder, version: &Version) -> BTreeSet<&'static str> {
    let mut rows = found(case, builder, version);
    for name in &case.request.differs {
        let row = Difference::named(name).unwrap_or_else(|| panic!("{}: {name}", case.name()));
        let other = row.by(builder);
        rows.extend(other.filter(|o| o.holds_for(version)).map(|_| row.name));
    }
    rows
}

/// What a builder makes of a case.
enum Outcome {
    Same,
    Differs(String),
    Refused(String),
}

fn outcome(workshop: &Workshop, peer: &dyn Peer, case: &Case) -> Outcome {
    // Another builder may have been here before.
    drop(std::fs::remove_dir_all(workshop.place(case)));
    let ours = workshop.build(case).unwrap_or_else(|e| panic!("{e:#}"));
    match peer.build(workshop, case) {
        Ok(theirs) => match difference(&theirs.essence(), &ours.essence()) {
            None => Outcome::Same,
            Some(text) => Outcome::Differs(text),
        },
        Err(text) => Outcome::Refused(text),
    }
}

fn compared() -> Vec<Case> {
    let mut cases = Case::all("conformance");
    cases.retain(|case| case.request.alone.is_none());
    cases
}

/// The longest test, a minute: every RUN of buildah costs a fraction of a second. Cases that some row
/// speaks of are left to the whole table.
#[test]
fn buildah_gives_the_same_image_unless_a_row_says_how_it_differs() {
    let workshop = Workshop::new();
    let buildah = Buildah::new();
    let mut failures = String::new();
    for case in compared() {
        if !rows(&case, buildah.builder(), buildah.version()).is_empty() {
            continue;
        }
        match outcome(&workshop, &buildah, &case) {
            Outcome::Same => {}
            Outcome::Differs(text) => failures += &format!("{}:\n{text}\n", case.name()),
            Outcome::Refused(text) => failures += &format!("{}: buildah: {text}\n", case.name()),
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

/// The cases are built without `--layers`, in which buildah makes the directories.
#[test]
fn buildah_with_layers_makes_no_directory_for_a_workdir_alone() {
    let workshop = Workshop::new();
    let case = cases("conformance").join("a-workdir-in-which-nothing-happens-is-made");
    let case = Case::read(&case);
    let ours = workshop.build(&case).unwrap();
    let buildah = Buildah::new();
    let place = workshop.place(&case);
    let directories = |more: &[String]| {
        let archive = place.join("buildah.tar");
        buildah.build_to(&place, more, &archive).unwrap();
        directories(&read(&workshop, &case, &archive).unwrap().essence())
    };
    let without = directories(&[]);
    assert_eq!(without, self::directories(&ours.essence()));
    let with = directories(&["--layers=true".into()]);
    let missing: Vec<&String> = without.iter().filter(|dir| !with.contains(dir)).collect();
    let expected = [
        "dir 0755 0:0 /below",
        "dir 0755 0:0 /last",
        "dir 0755 1000:1000 /opt/a",
        "dir 0755 1000:1000 /opt/a/b",
        "dir 0755 0:0 /opt/between",
    ];
    assert_eq!(missing, expected, "with layers: {with:?}");
}

fn directories(essence: &str) -> Vec<String> {
    let lines = essence.lines().filter(|line| line.starts_with("dir "));
    lines.map(String::from).collect()
}

/// Nothing is built: what a row shows in a case's Dockerfile is what the case says of it.
#[test]
fn cases_and_the_table_of_other_builders_agree() {
    let buildah = Version::parse("1.28").unwrap();
    let mut failures = String::new();
    for case in Case::all("conformance") {
        let named: BTreeSet<&str> = case.request.differs.iter().map(String::as_str).collect();
        for name in &named {
            if Difference::named(name).is_none() {
                failures += &format!("{}: there is no row `{name}`\n", case.name());
            }
        }
        if case.request.alone.is_some() {
            continue;
        }
        for name in found(&case, Builder::Buildah, &buildah) {
            let certain = !Difference::named(name).unwrap().depends_on_files();
            if certain && !named.contains(name) {
                failures += &format!("{} shows `{name}` and does not name it\n", case.name());
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

const PAGE: &str = "book/src/builders.md";
const START: &str = "<!-- The table is made from the code: UPDATE=1 cargo test --test it conformance::agreements -->\n";
const END: &str = "<!-- End of the table. -->\n";

#[test]
fn the_book_has_every_row_of_the_table_of_other_builders() {
    assert_part(PAGE, START, END, &table_of_rows());
}

/// Each row with what other builders do; lint finds those with a mark.
fn table_of_rows() -> String {
    let mut table = String::from("\n| | difference | here | elsewhere |\n|---|---|---|---|\n");
    for row in Difference::all() {
        let others = row.elsewhere.iter().map(|other| {
            let before = other
                .until
                .map(|v| format!(" before {v}"))
                .unwrap_or_default();
            format!("{}{before}: {}", other.builder, other.does)
        });
        let others: Vec<String> = others.collect();
        let mark = match row.shown {
            Shown::Always(_) => "●",
            Shown::Sometimes(_) => "○",
            Shown::Never => "",
        };
        writeln!(
            table,
            "| {mark} | `{}` | {} | {} |",
            row.name,
            row.here,
            others.join("; ")
        )
        .unwrap();
    }
    table
        + "\n● `lint --compat` finds it; ○ it finds lines where it is possible; without a mark, a Dockerfile does not show it.\n\n"
}

/// The table of the book, for every builder that can be had: `BUILDAH`, `BUILDKIT_HOST`, `DOCKER_HOST`.
#[test]
#[ignore = "minutes for each builder; by hand"]
fn the_table_of_agreements() {
    let workshop = Workshop::new();
    let mut table = String::from(
        "| builder | cases | same image | another, as a row says | refused, as a row says | neither |\n\
         |---|---|---|---|---|---|\n",
    );
    let mut unexplained = String::new();
    for peer in peer::all() {
        let (builder, version) = (peer.builder(), peer.version());
        let cases = compared();
        let [mut same, mut other, mut refused, mut neither] = [0; 4];
        for case in &cases {
            let rows = rows(case, builder, version);
            match outcome(&workshop, &*peer, case) {
                Outcome::Same => {
                    same += 1;
                    let certain = |row: &&&str| !Difference::named(row).unwrap().depends_on_files();
                    if let Some(row) = rows.iter().find(certain) {
                        let name = case.name();
                        eprintln!("{builder} {version}: {name}: the same, though `{row}` shows");
                    }
                }
                Outcome::Differs(_) if !rows.is_empty() => other += 1,
                Outcome::Refused(_) if !rows.is_empty() => refused += 1,
                Outcome::Differs(text) | Outcome::Refused(text) => {
                    neither += 1;
                    writeln!(unexplained, "{builder} {version}: {}:\n{text}", case.name()).unwrap();
                }
            }
        }
        let total = cases.len();
        let row = format!(
            "| {builder} {version} | {total} | {same} | {other} | {refused} | {neither} |\n"
        );
        eprint!("{row}");
        table += &row;
    }
    eprintln!("\n{table}\n{unexplained}");
    assert!(unexplained.is_empty(), "no row says why:\n{unexplained}");
}
