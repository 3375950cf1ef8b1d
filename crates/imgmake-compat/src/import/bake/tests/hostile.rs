//! What a bake file asks for that would take hours or gigabytes is an error.

use super::*;

/// What `a` of the target's arguments comes to, after the declarations.
fn of(declarations: &str, expression: &str) -> Result<Imported, Mistake> {
    let text = format!("{declarations}\ntarget \"default\" {{\n args = {{ a = {expression} }}\n}}");
    attempt("b.hcl", &text, &[], &[], &[])
}

fn exhausted(declarations: &str, expression: &str) {
    let mistake = of(declarations, expression).expect_err(expression);
    let message = "takes too much time or memory";
    assert!(mistake.message.contains(message), "{expression}: {mistake}");
}

fn too_long(declarations: &str, expression: &str) {
    let mistake = of(declarations, expression).expect_err(expression);
    assert!(
        mistake.message.contains("the value is too long"),
        "{expression}: {mistake}"
    );
}

/// A text of 2^19 `a`.
const LONG: &str = r#"
a0 = "aaaaaaaa"
a1 = "${a0}${a0}${a0}${a0}${a0}${a0}${a0}${a0}"
a2 = "${a1}${a1}${a1}${a1}${a1}${a1}${a1}${a1}"
a3 = "${a2}${a2}${a2}${a2}${a2}${a2}${a2}${a2}"
a4 = "${a3}${a3}${a3}${a3}${a3}${a3}${a3}${a3}"
long = "${a4}${a4}${a4}${a4}${a4}${a4}${a4}${a4}${a4}${a4}${a4}${a4}${a4}${a4}${a4}${a4}"
"#;

#[test]
fn functions_that_call_themselves_come_to_an_end() {
    let twice = r#"function "f" {
  params = ["n"]
  result = f(n) + f(n)
}"#;
    let mistake = of(twice, "f(1)").unwrap_err();
    assert!(
        mistake.message.contains("calls itself in a circle"),
        "{mistake}"
    );
    for result in [
        "try(f(n), f(n))",
        "can(f(n)) || can(f(n))",
        "can(f(n)) ? f(n) : f(n)",
    ] {
        exhausted(&twice.replace("f(n) + f(n)", result), "f(1)");
        // Nothing makes it good.
        exhausted(&twice.replace("f(n) + f(n)", result), "can(f(1))");
        exhausted(&twice.replace("f(n) + f(n)", result), "try(f(1), \"x\")");
    }
    let deep = format!("{}f(n){}", "[".repeat(50), "]".repeat(50));
    let mistake = of(&twice.replace("f(n) + f(n)", &deep), "f(1)").unwrap_err();
    assert!(mistake.message.contains("go too deep"), "{mistake}");
}

#[test]
fn values_that_double_come_to_an_end() {
    let grown = |first: &str, step: &dyn Fn(String) -> String| {
        let steps = (1..40).map(|at| format!("v{at} = {}\n", step(format!("v{}", at - 1))));
        format!("v0 = {first}\n{}", steps.collect::<String>())
    };
    exhausted(&grown("[1]", &|v| format!("[{v}, {v}]")), "1");
    exhausted(&grown("[1]", &|v| format!("{{ a = {v}, b = {v} }}")), "1");
    let tenfold = |v: String| format!("concat({})", vec![v; 10].join(", "));
    exhausted(&grown("[1]", &tenfold), "1");
    exhausted(&grown("[1, 2]", &|v| format!("[for x in {v} : {v}]")), "1");
    let nested: String = (1..20_000)
        .map(|at| format!("n{at} = [n{}]\n", at - 1))
        .collect();
    exhausted(&format!("n0 = 1\n{nested}"), "1");
    let waiting: String = (0..5_000)
        .map(|at| format!("n{at} = n{}\n", at + 1))
        .collect();
    exhausted(&format!("{waiting}n5000 = 1"), "1");
}

#[test]
fn functions_look_at_the_size_before_they_make_a_text() {
    for expression in [
        r#"replace(long, "a", long)"#,
        r#"replace(long, "", long)"#,
        r#"join(long, [1, 2, 3, 4])"#,
        r#"indent(1000, replace(substr(long, 0, 10000), "a", "\n"))"#,
        r#"regex_replace(substr(long, 0, 100), "a", long)"#,
        r#"format("%s%s%s", long, long, long)"#,
    ] {
        too_long(LONG, expression);
    }
    for expression in [
        r#"split("", long)"#,
        r#"split("a", long)"#,
        r#"regexall("a", long)"#,
        r#"regexall(".*[^a]|a", long)"#,
        r#"regex_replace(long, ".*b|a", "b")"#,
        r#"setproduct([long], range(5000))"#,
        r#"setproduct(split("", substr(long, 0, 100)), split("", substr(long, 0, 100)), [long])"#,
        r#"formatlist("%.0s%s", long, range(9999))"#,
        r#"format(replace(substr(long, 0, 10000), "a", "%.0[1]s"), long)"#,
        r#"csvdecode("${long}\n${replace(substr(long, 0, 10000), "a", "b\n")}")"#,
        r#"[for x in [1, 2] : jsondecode("[${replace(long, "aa", "1,")}1]")]"#,
    ] {
        exhausted(LONG, expression);
        exhausted(LONG, &format!("can({expression})"));
    }
}

#[test]
fn what_fits_is_still_made() {
    for expression in [
        r#"strlen(replace(long, "a", "b")) == 524288"#,
        r#"strlen(trim(long, long)) == 0"#,
        r#"length(distinct(range(9999))) == 9999"#,
        r#"length(setsubtract(range(9999), range(9998))) == 1"#,
        r#"length(setproduct(range(100), range(100))) == 10000"#,
        r#"setproduct(["a", "b"], [], [1]) == []"#,
        r#"regex_replace("a1b2c", "[0-9]", "<$0>") == "a<1>b<2>c""#,
        r#"length([for x in range(9999) : x * x if x > 3]) == 9995"#,
    ] {
        let found =
            of(LONG, expression).unwrap_or_else(|mistake| panic!("{expression}: {mistake}"));
        assert_eq!(args(build(&found, "default"))[0].1, "true", "{expression}");
    }
}

#[test]
fn groups_and_parents_that_double_come_to_an_end() {
    let block = |kind: &str, key: &str, at: usize| {
        let before = at - 1;
        format!("{kind} \"t{at}\" {{ {key} = [\"t{before}\", \"t{before}\"] }}\n")
    };
    for (kind, key) in [("group", "targets"), ("target", "inherits")] {
        let steps: String = (1..60).map(|at| block(kind, key, at)).collect();
        let text = format!("target \"t0\" {{}}\n{steps}");
        let mistake = attempt("b.hcl", &text, &["t59"], &[], &[]).unwrap_err();
        assert!(mistake.message.contains("takes too much"), "{mistake}");
    }
}

#[test]
fn powers_of_ten_beyond_all_bounds_are_no_numbers() {
    for expression in [
        r#""1e-9223372036854775808" * 1"#,
        r#""1e9223372036854775807" * 1"#,
    ] {
        let mistake = of("", expression).unwrap_err();
        assert!(mistake.message.contains("invalid number"), "{mistake}");
    }
}

#[test]
fn lines_of_long_files_are_counted_once() {
    let list = format!("[{}0]", "0,\n".repeat(300_000));
    let json = format!("{{\"variable\": {{\"a\": {{\"default\": {list}}}}},\n\"x\": {{}}}}");
    let mistake = attempt("b.json", &json, &[], &[], &[]).unwrap_err();
    assert_eq!(mistake.line, Some(300_002), "{mistake}");
    let hcl = format!("{}x \"a\" {{}}", "a = 1\n".repeat(100_000));
    let mistake = attempt("b.hcl", &hcl, &[], &[], &[]).unwrap_err();
    assert!(mistake.line.is_some(), "{mistake}");
    let large = "\n".repeat((1 << 20) + 1);
    let mistake = attempt("b.hcl", &large, &[], &[], &[]).unwrap_err();
    assert!(mistake.message.contains("larger than 1 MiB"), "{mistake}");
}
