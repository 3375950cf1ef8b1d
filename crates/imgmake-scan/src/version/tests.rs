use std::cmp::Ordering;

use proptest::prelude::*;

use super::Scheme;

const ALL: [Scheme; 9] = [
    Scheme::Dpkg,
    Scheme::Apk,
    Scheme::Rpm,
    Scheme::Semver,
    Scheme::Pep440,
    Scheme::Maven,
    Scheme::RubyGems,
    Scheme::Packagist,
    Scheme::NuGet,
];

/// Every version is before each that follows it.
fn ascends(scheme: Scheme, versions: &[&str]) {
    for (i, a) in versions.iter().enumerate() {
        for (j, b) in versions.iter().enumerate() {
            assert_eq!(
                scheme.compare(a, b),
                Some(i.cmp(&j)),
                "{scheme:?}: {a} against {b}"
            );
        }
    }
}

fn equal(scheme: Scheme, pairs: &[(&str, &str)]) {
    for (a, b) in pairs {
        assert_eq!(scheme.compare(a, b), Some(Ordering::Equal), "{a} and {b}");
    }
}

#[test]
fn dpkg_orders_as_debian_policy_says() {
    // Policy 5.6.12: the parts `~~`, `~~a`, `~`, the empty part, `a`, sorted.
    ascends(Scheme::Dpkg, &["1~~", "1~~a", "1~", "1", "1a"]);
    ascends(
        Scheme::Dpkg,
        &[
            "0.9",
            "1.0~beta1~svn1245",
            "1.0~beta1",
            "1.0",
            "1.0-1~bpo1",
            "1.0-1",
            "1.0-1ubuntu0.1",
            "1.0-1+deb12u1",
            "1.0-1+deb12u2",
            "1.0-1.1",
            "1.0-2",
            "1.0-10",
            "1.0+git1-1",
            "1.0.1-1",
            "1.10-1",
            "1:0.1-1",
            "2:0.1-1",
        ],
    );
    equal(
        Scheme::Dpkg,
        &[
            ("0:1.0", "1.0"),
            ("1.0", "1.0-0"),
            ("1.00", "1.0"),
            ("1.0-", "1.0"),
        ],
    );
}

#[test]
fn apk_orders_as_apk_tools_does() {
    ascends(
        Scheme::Apk,
        &[
            "1.2.3_alpha",
            "1.2.3_alpha2",
            "1.2.3_beta1",
            "1.2.3_pre1",
            "1.2.3_rc1",
            "1.2.3_rc2-r0",
            "1.2.3",
            "1.2.3-r0",
            "1.2.3-r1",
            "1.2.3-r10",
            "1.2.3_git20200101",
            "1.2.3_p1",
            "1.2.3_p1-r1",
            "1.2.3a",
            "1.2.3b",
            "1.2.3.1",
            "1.2.10",
            "1.10",
        ],
    );
    // From the test vectors of apk-tools.
    for (a, order, b) in [
        ("2.34", '>', "0.1.0_alpha"),
        ("0.1.0_alpha", '=', "0.1.0_alpha"),
        ("0.1.0_alpha", '<', "0.1.3_alpha"),
        ("0.1.0_alpha2", '>', "0.1.0_alpha"),
        ("1.0.4-r3", '<', "1.0.4-r4"),
        ("2.0_rc1", '<', "2.0"),
        ("0.12.2_rc6", '<', "0.12.2_rc8"),
        ("6.0_p1", '>', "6.0"),
        ("1.01", '<', "1.1"),
        ("1.06-r6", '<', "006"),
        ("1.1.1k-r0", '<', "1.1.1l-r0"),
        ("4.10-r1", '>', "4.6-r1"),
        ("0.4-r1", '<', "0.4.1-r1"),
        // As apk-tools 3.0.6 answers.
        ("1.0_p", '>', "1.0"),
        ("1.0_p", '<', "1.0_p1"),
        ("1.0~0123abc", '>', "1.0"),
        ("1.0~0123abc", '<', "1.0~0123abd"),
        ("1.0~0123abc-r1", '>', "1.0~0123abc-r0"),
        ("1.0", '<', "1.00"),
        ("1.00", '<', "1.01"),
        ("1.05", '<', "1.1"),
        ("1.0a", '>', "1.0_p"),
        ("1.0_rc", '<', "1.0~abc"),
        ("007", '=', "7"),
    ] {
        let expected = match order {
            '<' => Ordering::Less,
            '>' => Ordering::Greater,
            _ => Ordering::Equal,
        };
        assert_eq!(Scheme::Apk.compare(a, b), Some(expected), "{a} {b}");
    }
    for invalid in ["", "latest", "1.x", "1.0-1", "1.0_beat1", "1.0~", "1.0-r1a"] {
        for other in ["1.0", "9", invalid] {
            assert_eq!(Scheme::Apk.compare(invalid, other), None, "{invalid}");
            assert_eq!(Scheme::Apk.compare(other, invalid), None, "{invalid}");
        }
    }
}

#[test]
fn rpm_orders_as_rpmvercmp_does() {
    ascends(
        Scheme::Rpm,
        &[
            "1.0~rc1-1",
            "1.0~rc1^git1-1",
            "1.0-1",
            "1.0-1.el9",
            "1.0-2.el9",
            "1.0-10.el9",
            "1.0^20160101-1",
            "1.0.a-1",
            "1.0.1-1",
            "1.0.1a-1",
            "1.0.1.1-1",
            "1:0.1-1",
        ],
    );
    equal(
        Scheme::Rpm,
        &[
            ("0:1.0-1", "1.0-1"),
            ("2_0-1", "2.0-1"),
            ("1.05-1", "1.5-1"),
        ],
    );
}

#[test]
fn semver_orders_as_the_specification_says() {
    ascends(
        Scheme::Semver,
        &[
            "0.0.0",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.0.1",
            "1.0.1",
            "1.10.0",
            "18446744073709551616.0.0",
        ],
    );
    equal(
        Scheme::Semver,
        &[("v1.2.0", "1.2"), ("1.0.0+a", "1.0.0+b"), ("0", "0.0.0")],
    );
    assert_eq!(Scheme::Semver.compare("(devel)", "1.0.0"), None);
}

#[test]
fn python_orders_as_pep_440_says() {
    ascends(
        Scheme::Pep440,
        &[
            "1.0.dev456",
            "1.0a1",
            "1.0a2.dev456",
            "1.0a12.dev456",
            "1.0a12",
            "1.0b1.dev456",
            "1.0b2",
            "1.0b2.post345.dev456",
            "1.0b2.post345",
            "1.0rc1.dev456",
            "1.0rc1",
            "1.0",
            "1.0+abc.5",
            "1.0+abc.7",
            "1.0+5",
            "1.0.post456.dev34",
            "1.0.post456",
            "1.0.15",
            "1.1.dev1",
            "1!0.1",
        ],
    );
    equal(
        Scheme::Pep440,
        &[
            ("1.0.0", "1"),
            ("1.0-1", "1.0.post1"),
            ("V1.0RC1", "1.0c1"),
            ("1.0.alpha-3", "1.0a3"),
        ],
    );
    assert_eq!(Scheme::Pep440.compare("french toast", "1"), None);
}

#[test]
fn maven_orders_as_the_pom_reference_says() {
    ascends(
        Scheme::Maven,
        &[
            "1-alpha2snapshot",
            "1-alpha2",
            "1-alpha-123",
            "1-beta-2",
            "1-beta123",
            "1-m2",
            "1-m11",
            "1-rc",
            "1-cr2",
            "1-rc123",
            "1-SNAPSHOT",
            "1",
            "1-sp",
            "1-sp2",
            "1-abc",
            "1-pom-1",
            "1-1-snapshot",
            "1-1",
            "1-2",
            "1.1",
            "1.10",
        ],
    );
    equal(
        Scheme::Maven,
        &[
            ("1", "1.0.0"),
            ("1.ga", "1"),
            ("1-final", "1"),
            ("1-a1", "1-alpha-1"),
            ("1x", "1.0.0-x"),
            ("1-1.foo-bar1baz-.1", "1-1.foo-bar-1-baz-0.1"),
        ],
    );
    ascends(Scheme::Maven, &["1-foo2", "1-foo10"]);
    ascends(Scheme::Maven, &["2.14.1", "2.15.0", "2.17.1"]);
}

#[test]
fn ruby_orders_as_gem_version_does() {
    ascends(
        Scheme::RubyGems,
        &[
            "0.9",
            "1.0.a2",
            "1.0.b1",
            "1.0.pre",
            "1.0.rc1",
            "1.0",
            "1.0.1.pre",
            "1.0.1",
            "1.0.10",
        ],
    );
    equal(Scheme::RubyGems, &[("1", "1.0.0"), ("1.a", "1.0.a")]);
}

#[test]
fn php_orders_as_version_compare_does() {
    ascends(
        Scheme::Packagist,
        &[
            "1.0-dev",
            "1.0-alpha1",
            "1.0-alpha2",
            "1.0-beta1",
            "1.0-RC1",
            "1.0",
            "1.0.1",
            "1.1",
        ],
    );
    equal(
        Scheme::Packagist,
        &[
            ("v1.0.0", "1.0"),
            ("1.0a1", "1.0-alpha1"),
            ("1.0-p1", "1.0.0.0-patch1"),
            ("1.0+build", "1.0-stable"),
        ],
    );
    ascends(
        Scheme::Packagist,
        &[
            "2.4.0-RC1",
            "2.4.0",
            "2.4.0-p1",
            "2.4.0-p2",
            "2.4.1",
            "2024.01.05",
        ],
    );
    for none in ["dev-main", "1.x-dev", "1.0-foo", "1.2.3.4.5", ""] {
        assert_eq!(Scheme::Packagist.compare(none, "1.0"), None, "{none}");
    }
}

/// From the tables of NuGet's documentation and of the tests of `NuGet.Versioning`.
#[test]
fn nuget_orders_as_its_versions_do() {
    equal(
        Scheme::NuGet,
        &[
            ("1.0", "1.0.0"),
            ("1.0.0", "1.0.0.0"),
            ("1.01.1", "1.1.1"),
            ("1.0.0-BETA.X.y.5.77.0+AA", "1.0.0-beta.x.y.5.77.0+bb"),
            ("1.2.3-RC", "1.2.3-rc"),
        ],
    );
    ascends(
        Scheme::NuGet,
        &[
            "0.0.0",
            "1.0.0-0",
            "1.0.0-1",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-ALPHA.beta",
            "1.0.0-beta",
            "1.0.0-Beta.2",
            "1.0.0-beta.11",
            "1.0.0-beta.x.y.5.79.0",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.0.1",
            "1.0.1",
            "1.10.0",
        ],
    );
}

#[test]
fn old_python_versions_have_an_order_among_themselves_alone() {
    ascends(Scheme::Pep440, &["2004d", "2004e"]);
    for (a, order, b) in [
        ("1.0-custom", Ordering::Less, "1.0-customb"),
        ("1.0-foo", Ordering::Less, "1.1-foo"),
        ("r1", Ordering::Less, "r2"),
        ("1.0.0-x", Ordering::Equal, "1.0-x"),
    ] {
        assert_eq!(Scheme::Pep440.compare(a, b), Some(order), "{a} {b}");
    }
    assert_eq!(Scheme::Pep440.compare("1.0-foo", "1.0"), None);
}

#[test]
fn ecosystems_with_a_release_use_the_order_of_their_family() {
    assert_eq!(Scheme::of_ecosystem("Debian:12"), Scheme::Dpkg);
    assert_eq!(Scheme::of_ecosystem("Ubuntu:22.04:LTS"), Scheme::Dpkg);
    assert_eq!(Scheme::of_ecosystem("Alpine:v3.19"), Scheme::Apk);
    assert_eq!(Scheme::of_ecosystem("Rocky Linux:9"), Scheme::Rpm);
    assert_eq!(Scheme::of_ecosystem("npm"), Scheme::Semver);
}

proptest! {
    /// No text from a package database makes an order panic or contradict itself.
    #[test]
    fn every_order_is_total_and_antisymmetric(a in ".{0,24}", b in "[0-9a-z.~^_:+-]{0,24}") {
        for scheme in ALL {
            prop_assert_eq!(
                scheme.compare(&a, &b),
                scheme.compare(&b, &a).map(Ordering::reverse),
                "{:?}", scheme
            );
            prop_assert!(scheme.compare(&a, &a).is_none_or(Ordering::is_eq));
        }
    }

    #[test]
    fn orders_of_plausible_versions_are_transitive(
        mut versions in proptest::collection::vec("[0-9]{1,2}(\\.[0-9]{1,2}){0,2}([~_-]?(rc|alpha|beta|p)[0-9]?)?(-r?[0-9])?", 3..6)
    ) {
        for scheme in ALL {
            versions.sort_by(|a, b| scheme.compare(a, b).unwrap_or(Ordering::Equal));
            if versions.windows(2).any(|p| scheme.compare(&p[0], &p[1]).is_none()) { continue; }
            for p in versions.windows(2) {
                prop_assert!(scheme.compare(&p[0], &p[1]) != Some(Ordering::Greater), "{:?} {:?}", scheme, versions);
            }
        }
    }
}
