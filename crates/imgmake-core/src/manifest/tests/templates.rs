//! Templates, matrices, conditions and `--set`.

use super::*;

#[test]
fn templates_merge_maps_per_key_and_replace_lists() {
    let text = r#"
var V "1"
template base { args { A "base-${V}"; B "base"; C "base" }; tags "base"; platforms "linux/amd64"; desc "hidden" }
template more { inherits base; args { B "more" }; secrets s; needs x }
secret s env="S"
build x { from scratch; workdir "/" }
build app { inherits more; args { C #null; D "own" }; tags "own1" "own2"; secrets #null }
template steps { from alpine; run "one"; run "two"; env A="b" }
build kept { inherits steps; labels { a "b" } }
build replaced { inherits base steps; run "three" }
"#;
    let manifest =
        load_text(text).unwrap_or_else(|f| panic!("{}", render(&f, "x", text, false, 100)));
    let app = build_of(&manifest, "app");
    let args: Vec<(&str, &str)> = app
        .args
        .iter()
        .map(|(k, v)| (k.as_str(), v.value.as_str()))
        .collect();
    assert_eq!(args, [("A", "base-1"), ("B", "more"), ("D", "own")]);
    assert_eq!(app.tags.len(), 2);
    assert_eq!(app.platforms.len(), 1);
    assert!(app.secrets.is_empty());
    let target = manifest
        .targets
        .iter()
        .find(|target| target.name.value == "app")
        .unwrap();
    assert_eq!((target.needs.len(), &target.description), (1, &None));
    let steps = |name: &str| match &build_of(&manifest, name).recipe {
        RecipeNode::Steps { steps, .. } => steps.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!((steps("kept"), steps("replaced")), (3, 1));
}

#[test]
fn what_two_parents_have_from_one_is_merged_per_key() {
    let text = r#"
template base { args { A "base"; B "base"; C "base" }; labels { one "1" } }
template left { inherits base; args { B "left" } }
template right { inherits base; args { C "right" } }
build app { context "."; inherits left right; args { D "own" } }
"#;
    let manifest =
        load_text(text).unwrap_or_else(|f| panic!("{}", render(&f, "x", text, false, 100)));
    let args: Vec<(&str, &str)> = build_of(&manifest, "app")
        .args
        .iter()
        .map(|(k, v)| (k.as_str(), v.value.as_str()))
        .collect();
    // Later parents win, with all that they have.
    assert_eq!(
        args,
        [("A", "base"), ("B", "base"), ("C", "right"), ("D", "own")]
    );
}

#[test]
fn a_matrix_makes_a_target_of_each_combination() {
    let text = r#"
build w { matrix { py "3.12" "3.13"; os slim full; exclude py="3.12" os=full }; args { P "${py}-${os}" } }
build n { matrix { v a b }; name "n-${upper(v)}"; context "${v}" }
build s { matrix { v s }; name "s" }
"#;
    let manifest =
        load_text(text).unwrap_or_else(|f| panic!("{}", render(&f, "x", text, false, 100)));
    let names: Vec<&str> = manifest
        .targets
        .iter()
        .map(|target| target.name.value.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "w-3-12-slim",
            "w-3-13-slim",
            "w-3-13-full",
            "n-A",
            "n-B",
            "s"
        ]
    );
    assert_eq!(arg(&manifest, "w-3-13-full", "P"), "3.13-full");
    let groups: Vec<(&str, usize)> = manifest
        .groups
        .iter()
        .map(|group| (group.name.value.as_str(), group.members.len()))
        .collect();
    assert_eq!(groups, [("w", 3), ("n", 2)]);
}

#[test]
fn a_matrix_has_limits_that_are_looked_at_before_anything_is_compared() {
    let numbers = |count: usize| (0..count).map(|n| format!(" v{n}")).collect::<String>();
    let rows =
        |count: usize, row: &dyn Fn(usize) -> String| (0..count).map(row).collect::<String>();
    let text = |matrix: &str| format!("build w {{ matrix {{ {matrix} }} }}");
    let values = text(&format!("a{}", numbers(50_000)));
    let axes = text(&rows(20_000, &|n| format!("a{n} x;")));
    let excludes = text(&format!(
        "a x y;{}",
        rows(20_000, &|_| "exclude a=x;".into())
    ));
    let includes = text(&format!(
        "a x;{}",
        rows(4096, &|n| format!("include a={n:?};"))
    ));
    let product = text(&format!("a{0};b{0};c{0};d{0};e{0};f{0}", numbers(4096)));
    let twice = text("a x y x");
    for (text, message) in [
        (values, "more than 4096 values of the axis `a`"),
        (axes, "more than 64 axes"),
        (excludes, "more than 4096 `exclude`"),
        (includes, "more than 4096 members"),
        (product, "more than 4096 members"),
        (twice, "duplicate `x`"),
    ] {
        let found = load_text(&text).unwrap_err();
        let found: Vec<&str> = found.iter().map(|one| one.message.as_str()).collect();
        assert!(
            matches!(&found[..], [one] if one.contains(message)),
            "{message}: {found:?}"
        );
    }
}

#[test]
fn the_targets_of_all_files_of_a_project_count_and_one_too_many_is_told_once() {
    let (facts, found) = (Facts::default(), std::cell::RefCell::default());
    let main = super::super::scope::Scope::new(&facts);
    let included = main.inherited();
    let count = |scope, more| {
        let cx = super::super::context::DecodeContext::new(scope, &found);
        cx.count_targets(more, Span::default())
    };
    assert!(count(&main, 60_000) && count(&included, 40_000));
    assert!(!count(&main, 1) && !count(&included, usize::MAX));
    let found = found.into_inner();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].message, "the project has more than 100000 targets");
}

#[test]
fn an_if_switches_a_target_off_without_asking_for_its_variables() {
    let text = r#"
var RELEASE #false
var TOKEN
build app { context "." }
build rel { if "${RELEASE}"; context "${TOKEN}" }
group all app rel
"#;
    let manifest = load_text(text).unwrap();
    assert_eq!(manifest.targets.len(), 1);
    crate::graph::Graph::new(manifest).unwrap();
    let found = with(facts(&[("RELEASE", "true")], &[]), text).unwrap_err();
    assert_eq!(found, ["target `rel`: the variable `TOKEN` is not set"]);
    let found = load_text(&format!("{text}build b {{ needs rel }}")).unwrap();
    let found = crate::graph::Graph::new(found).unwrap_err();
    assert_eq!(
        found[0].message,
        "target `b`: `rel` is disabled by its `if`"
    );
}

#[test]
fn set_overrides_attributes_of_every_matching_target() {
    let text = "build app { context \".\"; args { A \"1\"; B \"2\" }; tar \"x.tar\" }
build web { context \".\"; platforms \"linux/amd64\" }
scan s { images app; fail-on severity=low }";
    let set = |sets: &[&str]| {
        let facts = Facts {
            sets: sets.iter().map(|set| set.to_string()).collect(),
            ..Facts::default()
        };
        with(facts, text)
    };
    let manifest = set(&[
        "*.no-cache=true",
        "app.args.A=x=${y}",
        "app.args.C=new",
        "{app,web}.platforms=linux/arm64,linux/amd64",
        "app.tar.format=oci",
        "s.fail-on.severity=high",
        "web.epoch=5",
        "s.no-cache=x",
    ]);
    assert_eq!(
        manifest.unwrap_err(),
        ["target `s`: `scan` has no attribute `no-cache`"]
    );
    let manifest = set(&[
        "{app,web}.no-cache=true",
        "app.args.A=x=${y}",
        "app.args.C=new",
        "{app,web}.platforms=linux/arm64,linux/amd64",
        "app.tar.format=oci",
        "s.fail-on.severity=high",
        "web.epoch=5",
    ])
    .unwrap();
    assert_eq!(
        (
            arg(&manifest, "app", "A"),
            arg(&manifest, "app", "B"),
            arg(&manifest, "app", "C")
        ),
        ("x=${y}", "2", "new")
    );
    let web = build_of(&manifest, "web");
    assert_eq!(
        (web.no_cache, web.platforms.len(), web.epoch),
        (true, 2, Some(5))
    );
    let more = set(&[
        "app.platforms+=linux/arm64",
        "web.platforms+=linux/arm64,linux/s390x",
    ])
    .unwrap();
    let platforms = |name: &str| build_of(&more, name).platforms.len();
    assert_eq!((platforms("app"), platforms("web")), (1, 3));
    assert_eq!(
        set(&["app.args.A+=x"]).unwrap_err(),
        ["`--set app.args.A+=x`: `+=` adds to lists, such as `inputs` and `tags`"]
    );
    // A pattern means the targets that have the attribute: `s` is a scan.
    let all = set(&["*.platforms=linux/arm64", "*.fail-on.severity=high"]).unwrap();
    for name in ["app", "web"] {
        assert_eq!(build_of(&all, name).platforms.len(), 1);
    }
    assert_eq!(
        set(&["*.platformz=linux/arm64"]).unwrap_err(),
        [
            "`--set *.platformz=linux/arm64`: no target that `*` matches has an attribute `platformz`"
        ]
    );
    assert_eq!(
        set(&["s.platforms=linux/arm64"]).unwrap_err(),
        ["target `s`: `scan` has no attribute `platforms`"]
    );
    assert_eq!(
        set(&["ap.tags=x"]).unwrap_err(),
        ["`--set ap.tags=x`: no target matches `ap`"]
    );
    assert_eq!(
        set(&["app.tagz=x"]).unwrap_err(),
        ["target `app`: `build` has no attribute `tagz`"]
    );
    assert_eq!(set(&["app"]).unwrap_err(), ["`--set app`: `=` expected"]);
}
