//! What a Dockerfile means, as data: `tests/conformance/<claim>/` holds a
//! Dockerfile, its context (`context/`, or `context.sh` which makes it in the current
//! directory), what is asked of the build (`request`, see `case`) and
//! `expected.txt`, the image as text. `tests/conformance-errors/<claim>/` holds
//! what is refused, and with which words.
//!
//! `RULES.kdl` there says which rule each case shows; [`rules`] checks it.
//!
//! `UPDATE=1` writes what was seen: to be read before it is committed.
//! `CASE=words` takes the cases whose names contain the words.
//!
//! What the texts say is compared with the images of other builders ([`agreements`]), where they do as
//! BuildKit does; where one does not, a row of the table of other builders says how.

mod agreements;
mod case;
mod grammar;
mod isolation_modes;
mod lint;
mod peer;
mod rules;
mod sample;
mod text;
mod workshop;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use case::Case;
use imgmake_build::{AddedLayers, LayerCount};
use workshop::Workshop;

use crate::ground::expected::is_update;

#[test]
fn every_dockerfile_gives_the_image_that_its_case_describes() {
    let cases = Case::all("conformance");
    let workshop = Workshop::new();
    let failures = for_each(&cases, |case| {
        let seen = workshop.build(case);
        let seen = match seen {
            Ok(image) => workshop.without_places(case, &image.text()),
            Err(error) => return Some(format!("does not build: {error:#}\n")),
        };
        compare(&case.directory.join("expected.txt"), &seen)
    });
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn every_mistake_is_refused_with_the_words_of_its_case() {
    let cases = Case::all("conformance-errors");
    let workshop = Workshop::new();
    let failures = for_each(&cases, |case| match workshop.build(case) {
        Ok(_) => Some("it builds\n".into()),
        Err(error) => {
            let told = workshop.without_places(case, &format!("{error:#}\n"));
            compare(&case.directory.join("expected.stderr"), &told)
        }
    });
    assert!(failures.is_empty(), "{failures}");
}

/// buildah's images, which the others are compared with, have one layer above the base, too.
#[test]
fn every_dockerfile_gives_the_same_image_in_one_layer() {
    let workshop = Workshop::new();
    let one = AddedLayers {
        count: LayerCount::One,
        ..AddedLayers::default()
    };
    let cases = Case::all("conformance");
    let failures = for_each(&cases, |case| {
        let plain = workshop.build(case).unwrap_or_else(|e| panic!("{e:#}"));
        let place = workshop.place(case);
        let squashed = match workshop.build_in_form(case, &place, one.clone()) {
            Ok(image) => image,
            Err(error) => return Some(format!("does not build: {error:#}\n")),
        };
        let most = squashed
            .added_layers()
            .into_iter()
            .max()
            .unwrap_or_default();
        // Parents of a case's own count as added here: only busybox is the base.
        if most > 1 + case.request.images.len() {
            return Some(format!("{most} layers were added\n"));
        }
        if case.name() == "hard-links-stay-one-file" {
            peer::umoci::finds_the_same(&workshop, &plain, &squashed);
        }
        difference(&plain.essence(), &squashed.essence())
    });
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn the_described_trees_are_what_umoci_unpacks() {
    let workshop = Workshop::new();
    for name in [
        "a-directory-removed-and-made-again-hides-what-was-below",
        "hard-links-stay-one-file",
        "link-copies-replace-what-stands-in-the-way",
    ] {
        let case = Case::read(&case::cases("conformance").join(name));
        let image = workshop.build(&case).unwrap();
        peer::umoci::unpacks(&workshop, &image);
    }
}

/// What each case is blamed for, if anything. Two at a time: parallel stages within a case take the rest.
fn for_each(cases: &[Case], check: impl Fn(&Case) -> Option<String> + Sync) -> String {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(failure) = check(case) {
                        let told = format!("{}:\n{failure}", case.name());
                        failures.lock().unwrap().push(told);
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    failures.join("\n")
}

fn compare(expected: &Path, seen: &str) -> Option<String> {
    if is_update() {
        std::fs::write(expected, seen).unwrap();
        return None;
    }
    let wanted = std::fs::read_to_string(expected)
        .unwrap_or_else(|error| panic!("{}: {error}; UPDATE=1 writes it", expected.display()));
    difference(&wanted, seen)
}

/// The lines that only one of two texts has.
fn difference(wanted: &str, seen: &str) -> Option<String> {
    if wanted == seen {
        return None;
    }
    let missing = wanted.lines().filter(|l| !seen.lines().any(|s| s == *l));
    let extra = seen.lines().filter(|l| !wanted.lines().any(|w| w == *l));
    let lines: Vec<String> = missing
        .map(|l| format!("- {l}"))
        .chain(extra.map(|l| format!("+ {l}")))
        .collect();
    match lines.is_empty() {
        true => Some(format!("the same lines in another order:\n{seen}")),
        false => Some(lines.join("\n") + "\n"),
    }
}
