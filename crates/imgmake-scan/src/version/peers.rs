//! 20,000 pairs of versions against the programs that define their orders. Each of these tests
//! names what it needs, and is started by hand:
//!
//! `cargo test -p imgmake-scan --features peers --lib version::peers`

use std::cmp::Ordering;
use std::io::Write;
use std::process::{Command, Stdio};

use super::Scheme;

const PAIRS: usize = 20_000;

/// Numbers from a seed: the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// Pairs of versions out of these pieces; of every second pair, the beginning is the same.
fn pairs(pieces: &[&[&str]]) -> Vec<(String, String)> {
    let mut numbers = Numbers(1);
    let mut pair = |common: usize| {
        let (mut a, mut b) = (String::new(), String::new());
        for (at, piece) in pieces.iter().enumerate() {
            let chosen = numbers.one(piece);
            a.push_str(chosen);
            b.push_str(if at < common {
                chosen
            } else {
                numbers.one(piece)
            });
        }
        (a, b)
    };
    (0..PAIRS)
        .map(|at| pair(at % 2 * (at / 2 % pieces.len())))
        .collect()
}

/// Writes the pairs to a program, a line each, and compares its answers: `<`, `=`, `>` or `?`.
fn agree(scheme: Scheme, pairs: &[(String, String)], program: &mut Command) {
    let mut input = tempfile::tempfile().unwrap();
    for (a, b) in pairs {
        writeln!(input, "{a} {b}").unwrap();
    }
    std::io::Seek::rewind(&mut input).unwrap();
    let output = program.stdin(input).stderr(Stdio::inherit()).output();
    let output = output.expect("the peer starts");
    assert!(output.status.success(), "the peer failed");
    let answers = String::from_utf8(output.stdout).unwrap();
    assert_eq!(answers.lines().count(), pairs.len());
    let mut compared = 0;
    for ((a, b), answer) in pairs.iter().zip(answers.lines()) {
        let expected = match answer {
            "<" => Some(Ordering::Less),
            "=" => Some(Ordering::Equal),
            ">" => Some(Ordering::Greater),
            _ => None,
        };
        compared += usize::from(expected.is_some());
        assert_eq!(
            scheme.compare(a, b),
            expected,
            "{a} {b}: the peer says {answer}"
        );
    }
    assert!(
        compared > PAIRS / 2,
        "only {compared} were versions to the peer"
    );
    eprintln!("{compared} of {} pairs compared", pairs.len());
}

/// `APK_VERSIONS` names a program that reads pairs and answers with apk-tools' own
/// `apk_version_compare`: a `main` of ten lines, linked with `src/version.c`, `src/blob.c` and
/// `src/ctype.c` of apk-tools 3.
#[test]
fn apk_agrees_with_apk_tools() {
    let program = std::env::var("APK_VERSIONS").expect("APK_VERSIONS names the program");
    let pairs = pairs(&[
        &["0", "1", "01", "2", "10", "007"],
        &["", ".0", ".1", ".01", ".10", ".00", ".05", ".5"],
        &["", "", ".0", ".1", ".09", ".9"],
        &["", "", "", "a", "b", "z", "a1"],
        &[
            "",
            "",
            "_alpha",
            "_beta2",
            "_rc",
            "_rc1",
            "_pre",
            "_p",
            "_p1",
            "_git20200101",
            "_hg",
            "_x",
            "_",
        ],
        &["", "", "", "_p", "_p2", "_rc3"],
        &["", "", "", "~0123abc", "~f", "~", "~x"],
        &["", "-r0", "-r1", "-r10", "-r01", "-r", "-1"],
    ]);
    agree(Scheme::Apk, &pairs, &mut Command::new(program));
}

/// Needs `composer` of Debian, whose library it asks.
#[test]
fn packagist_agrees_with_composer() {
    let script = r#"require "/usr/share/php/Composer/Semver/autoload.php";
        $parser = new Composer\Semver\VersionParser;
        while (($line = fgets(STDIN)) !== false) {
            [$a, $b] = explode(" ", rtrim($line, "\n"));
            try { [$a, $b] = [$parser->normalize($a), $parser->normalize($b)]; }
            catch (UnexpectedValueException $e) { echo "?\n"; continue; }
            $order = version_compare($a, $b);
            echo $order < 0 ? "<" : ($order > 0 ? ">" : "="), "\n";
        }"#;
    let pairs = pairs(&[
        &["", "v"],
        &["0", "1", "2", "10", "01"],
        &["", ".0", ".1", ".10", ".04"],
        &["", ".0", ".1", ".2"],
        &["", "", ".0", ".3"],
        &["", "", "", "-", ".", "_"],
        &[
            "", "", "p1", "patch2", "pl", "alpha", "a1", "b2", "beta.3", "rc1", "RC-2", "stable",
            "foo", "P3",
        ],
        &["", "", "", "-dev", "+build", "@dev"],
    ]);
    agree(
        Scheme::Packagist,
        &pairs,
        Command::new("php").arg("-r").arg(script),
    );
}

/// `PYTHON` names one in which `packaging` is older than 22.
#[test]
fn old_python_versions_agree_with_packaging() {
    let script = "import sys, warnings\nwarnings.simplefilter('ignore')\n\
        from packaging.version import parse, LegacyVersion\n\
        for line in sys.stdin:\n    a, b = map(parse, line.split())\n    \
        old = [isinstance(v, LegacyVersion) for v in (a, b)]\n    \
        print('?' if old[0] != old[1] else '<' if a < b else '>' if a > b else '=')";
    let program = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let pairs = pairs(&[
        &["0", "1", "2", "2004", "10", "r"],
        &[".0", ".1", "d", ".10", "-0"],
        &["", ".0", ".00", "-1", "a", "-pre", "pre", "rc"],
        &["", "", "x", "-dev", "dev3", ".final", "_1", "~2"],
        &["", "", "-beta", "c1", "+l", "!1"],
    ]);
    agree(
        Scheme::Pep440,
        &pairs,
        Command::new(program).arg("-c").arg(script),
    );
}
