//! What a Compose file says of a build.

use super::*;

fn service(build: &str, pairs: &[(&str, &str)]) -> Result<Imported, Mistake> {
    let text = format!("services:\n  a:\n    build:\n{build}");
    attempt("compose.yaml", &text, &["a"], &[], pairs)
}

#[test]
fn only_a_true_privilege_is_an_entitlement() {
    let noted = |build: &str, pairs: &[(&str, &str)]| {
        let imported = service(build, pairs).unwrap_or_else(|mistake| panic!("{mistake}"));
        let mut notes = imported.notes.iter();
        notes.any(|note| note.contains("`entitlements` of `a` has no effect"))
    };
    for (build, given, is_noted) in [
        ("      privileged: true\n", "", true),
        ("      privileged: false\n", "", false),
        ("      privileged: ${P:-false}\n", "", false),
        ("      privileged: ${P:-false}\n", "true", true),
        (
            "      privileged: false\n      entitlements: [network.host]\n",
            "",
            true,
        ),
    ] {
        assert_eq!(noted(build, &[("P", given)]), is_noted, "{build}{given}");
    }
    let both = "      ulimits: {}\n      privileged: false\n";
    assert!(service(both, &[]).unwrap().notes.is_empty());
    let wrong = service("      privileged: [a]\n", &[]).unwrap_err();
    assert!(wrong.to_string().contains("compose.yaml:4: `privileged`"));
}
