use super::super::json::{Json, Kind, Name};
use super::parse;

fn shown(value: &Json) -> String {
    match &value.kind {
        Kind::Null => "null".into(),
        Kind::Bool(flag) => flag.to_string(),
        Kind::Number(text) => text.clone(),
        Kind::Text(text) => format!("{text:?}"),
        Kind::List(list) => {
            let all: Vec<String> = list.iter().map(shown).collect();
            format!("[{}]", all.join(","))
        }
        Kind::Object(pairs) => {
            let one = |(name, value): &(Name, Json)| format!("{}:{}", name.text, shown(value));
            let all: Vec<String> = pairs.iter().map(one).collect();
            format!("{{{}}}", all.join(","))
        }
    }
}

#[test]
fn anchors_merges_and_scalars_are_what_they_stand_for() {
    for (text, is) in [
        ("", "null"),
        ("a: 1\nb: [x, 'y', \"z\"]", r#"{a:1,b:["x","y","z"]}"#),
        (
            "a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}",
            "{a:{k:1,l:2},b:{l:3,k:1}}",
        ),
        ("a: |\n  one\n  two\nb: 1", r#"{a:"one\ntwo\n",b:1}"#),
        (
            "a: >-\n  one\n  two\n\n  three\n",
            r#"{a:"one two\nthree"}"#,
        ),
        (
            "a: one\n  two # no\nb:\n- 1\n-  k: v\n   l: w\n- - x\n",
            r#"{a:"one two",b:[1,{k:"v",l:"w"},["x"]]}"#,
        ),
        (
            "---\n# c\na: \"x\\ty # \\u0041\" # c\nb: 'it''s'\n'c d': [1, {e: f,\n  g}, h]\n...\n",
            r#"{a:"x\ty # A",b:"it's",c d:[1,{e:"f",g:null},"h"]}"#,
        ),
        (
            "u: http://h:80/x#y\nv: !!str 1\nw:\nx: {}\n",
            r#"{u:"http://h:80/x#y",v:"1",w:null,x:{}}"#,
        ),
        (
            "a: true\nb: yes\nc: ~\nd: 1.20\ne: 0x1\nf: '1'",
            r#"{a:true,b:"yes",c:null,d:1.20,e:"0x1",f:"1"}"#,
        ),
    ] {
        assert_eq!(shown(&parse(text).unwrap()), is, "{text}");
    }
}

/// Only the list of a key may stand in the key's own column, so that dashes below each other are one list.
#[test]
fn an_entry_of_properties_alone_is_empty() {
    assert_eq!(shown(&parse("- &a\n- b\n").unwrap()), "[null,\"b\"]");
    let many = "- !!str\n".repeat(3_000);
    assert!(parse(&many).is_ok());
    assert_eq!(shown(&parse("k: &a\n- b\n").unwrap()), "{k:[\"b\"]}");
}

#[test]
fn what_is_no_small_tree_is_refused_with_its_line() {
    let deep = "[".repeat(100_000);
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..9 {
        let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
        laughs.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
    }
    let long = format!(
        "a: &a {}\nb: [{}]",
        "x".repeat(1 << 20),
        vec!["*a"; 100].join(",")
    );
    for (text, says) in [
        ("a: 1\na: 2", "duplicate key `a`"),
        ("a: [1", "`,` or `]` is expected"),
        ("a: &x [*x]", "the anchor `x` is not known"),
        ("a: 1\n---\nb: 2", "a second document"),
        (&deep, "more than 64 deep"),
        ("a: 1\n  b: 2", "and contains a key"),
        ("a: b: c", "a key is in this text"),
        ("a: b: # c", "a key is in this text"),
        ("a: &x b: c", "a key is in this text"),
        ("a: !!str b: c", "a key is in this text"),
        ("- &x a: b", "a key is in this text"),
        ("a: - b", "a list begins on the line below"),
        ("a: @b", "must be in quotes"),
        ("a:\n  b: 1\n c: 2", "indented otherwise"),
        ("a:\n\tb: 1", "not by tabs"),
        ("? a\n: b", "invalid YAML"),
        ("a: \"x", "is not closed"),
        (&laughs, "more than 100000 values"),
        (&long, "more than 100000 values"),
    ] {
        let problem = parse(text).err().unwrap();
        assert!(problem.message.contains(says), "{:?}", problem.message);
        assert!(problem.line.is_some());
    }
}

#[test]
fn lines_are_not_counted_from_the_start_for_each_value() {
    let lines = 40_000;
    let long = format!("services:\n{}", "  - x\n".repeat(lines));
    let flow = format!("a: [{}]", "x,\n".repeat(lines));
    for text in [&long, &flow] {
        let started = std::time::Instant::now();
        let value = parse(text).unwrap();
        // Quadratic, it is more than ten times that.
        assert!(started.elapsed().as_secs() < 3);
        let Kind::Object(pairs) = &value.kind else {
            unreachable!()
        };
        let Kind::List(list) = &pairs[0].1.kind else {
            unreachable!()
        };
        assert_eq!(list.len(), lines);
        let first = list[0].line;
        assert_eq!(list[lines - 1].line, first + lines - 1);
    }
}
