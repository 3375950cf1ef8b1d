use super::edge::Strength;
use super::*;
use crate::manifest::{BuildTarget, Facts, Span, load};

fn parsed(text: &str) -> Manifest {
    let read = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    let mut facts = Facts::default();
    facts.git.insert("short".to_string(), "abc1234".to_string());
    match load("imgmake.kdl", text, &facts, &read) {
        Ok((manifest, _)) => manifest,
        Err(diagnostics) => panic!(
            "{}",
            crate::manifest::render(&diagnostics, "imgmake.kdl", text, false, 100)
        ),
    }
}

fn graph(text: &str) -> Graph {
    Graph::new(parsed(text)).unwrap_or_else(|diagnostics| {
        panic!(
            "{}",
            crate::manifest::render(&diagnostics, "imgmake.kdl", text, false, 100)
        )
    })
}

fn messages(text: &str) -> Vec<String> {
    let diagnostics = Graph::new(parsed(text)).unwrap_err();
    diagnostics.into_iter().map(|one| one.message).collect()
}

fn uses(graph: &Graph, name: &str) -> Vec<(String, EdgeKind)> {
    let id = graph.find(name).unwrap();
    let dependencies = graph.dependencies(id).iter();
    dependencies
        .map(|(id, kind)| (graph.name(*id).to_string(), *kind))
        .collect()
}

const RUNS: &str = r#"
run assets { command "true"; inputs "web/src/**"; outputs "web/dist" }
run proto { command "true"; outputs "gen/api.pb" }
"#;

#[test]
fn a_copy_of_an_output_is_an_edge_to_its_run() {
    let graph = graph(&format!(
        "{RUNS} build a {{ from scratch; copy \"web/dist/\" to=\"/srv/\" }}
         build b {{ from scratch; layer {{ copy \"./web/dist/js/app.js\" to=\"/\" }} }}
         build c {{ from scratch; copy \"web\" to=\"/\" }}
         build d {{ from scratch; copy \"web/di*\" to=\"/\" }}
         build e {{ from scratch; copy \"web/src\" to=\"/\" }}
         build f {{ from scratch; context web; copy \"dist\" to=\"/\" }}"
    ));
    let output = vec![("assets".to_string(), EdgeKind::Output)];
    for name in ["a", "b", "c", "d", "f"] {
        assert_eq!(uses(&graph, name), output, "{name}");
    }
    assert_eq!(uses(&graph, "e"), []);
}

#[test]
fn a_context_that_holds_an_output_is_an_edge_to_its_run() {
    let graph = graph(&format!(
        "{RUNS} build a {{ context \".\" }}; build b {{ context web }}; build c {{ context docs }}; build d {{ context \"web/dist/js\" }}; build e"
    ));
    let names = |name: &str| {
        uses(&graph, name)
            .into_iter()
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names("a"), ["assets", "proto"]);
    assert_eq!(names("b"), ["assets"]);
    assert_eq!(names("c"), [""; 0]);
    assert_eq!(names("d"), ["assets"]);
    assert_eq!(names("e"), ["assets", "proto"]);
}

#[test]
fn a_certificate_that_a_run_makes_is_an_edge_to_it() {
    let graph = graph(&format!(
        "{RUNS} build a {{ context docs; trust-ca \"corp.pem\" \"gen/api.pb\" }}"
    ));
    assert_eq!(uses(&graph, "a"), [("proto".to_string(), EdgeKind::Output)]);
}

#[test]
fn an_input_that_another_run_makes_is_an_edge_and_an_own_output_is_none() {
    let graph = graph(
        "run gen { command \"true\"; outputs \"gen/api\" \"gen/list.txt\" }
         run use { command \"true\"; inputs \"gen/**/*.pb\"; outputs \"gen2\" }
         run self { command \"true\"; inputs \"x/**\"; outputs \"x/out\" }
         run txt { command \"true\"; inputs \"gen/*.txt\" }",
    );
    assert_eq!(uses(&graph, "use"), [("gen".to_string(), EdgeKind::Output)]);
    assert_eq!(uses(&graph, "self"), []);
    assert_eq!(uses(&graph, "txt"), [("gen".to_string(), EdgeKind::Output)]);
}

#[test]
fn images_contexts_bases_and_needs_are_edges() {
    let graph = graph(
        "build base { context base }
         build app { context app; contexts { base (target)base } }
         build static { from (target)base; workdir \"/\" }
         build worker-a { context w }; build worker-b { context w; needs all }
         group all app static
         scan gate { images \"worker-*\" app }",
    );
    assert_eq!(
        uses(&graph, "app"),
        [("base".to_string(), EdgeKind::Context)]
    );
    assert_eq!(
        uses(&graph, "static"),
        [("base".to_string(), EdgeKind::Context)]
    );
    assert_eq!(
        uses(&graph, "worker-b"),
        [
            ("app".to_string(), EdgeKind::Needs),
            ("static".to_string(), EdgeKind::Needs)
        ]
    );
    let images = graph.images(graph.find("gate").unwrap());
    let names: Vec<&str> = images.iter().map(|id| graph.name(*id)).collect();
    assert_eq!(names, ["app", "worker-a", "worker-b"]);
}

#[test]
fn a_cycle_is_told_with_its_whole_path_and_every_place() {
    let text = "build a { context x; contexts { c (target)c } }
build b { context x; needs a }
build c { context x; needs b }
build d { context x; needs d }";
    let diagnostics = Graph::new(parsed(text)).unwrap_err();
    assert_eq!(
        diagnostics[0].message,
        "the targets depend on each other: a -> c -> b -> a"
    );
    assert_eq!(diagnostics[0].related.len(), 2);
    assert_eq!(
        diagnostics[1].message,
        "target `d` depends on itself: d -> d"
    );
}

#[test]
fn a_report_in_the_context_of_the_build_it_needs_makes_no_circle() {
    let graph = graph(
        "build app { context \".\" }
         run assets { command \"true\"; outputs \"dist\" }
         run test { command \"true\"; needs app; outputs \"out/junit.xml\" }",
    );
    let output = vec![("assets".to_string(), EdgeKind::Output)];
    assert_eq!(uses(&graph, "app"), output);
    let found = messages(
        "build app { from scratch; copy \"out/x\" to=\"/\" }
         run test { command \"true\"; needs app; outputs \"out/x\" }",
    );
    assert_eq!(
        found,
        ["the targets depend on each other: app -> test -> app"]
    );
}

#[test]
fn runs_that_read_all_sources_and_write_beside_each_other_make_no_circle() {
    let graph = graph(
        "run a { command \"true\"; inputs \"**/*.go\"; outputs \"bin/a\" }
         run b { command \"true\"; inputs \"**/*.go\" \"go.mod\"; outputs \"bin/b\" }
         run gen { command \"true\"; outputs \"gen\" }",
    );
    let waits = |name: &str| {
        let uses = uses(&graph, name).into_iter();
        uses.map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(
        (waits("a"), waits("b")),
        (
            vec!["b".to_string(), "gen".to_string()],
            vec!["gen".to_string()]
        )
    );
    assert_eq!(graph.left_out(graph.find("b").unwrap()), ["bin/a"]);
    let told: Vec<&str> = graph
        .warnings()
        .iter()
        .map(|one| one.message.as_str())
        .collect();
    assert_eq!(
        told,
        [
            "target `b` does not wait for `a`, which waits for it: files of `a` are not inputs of `b`"
        ]
    );
}

/// Dockerfiles that read these by name, and everything below `along` along with others.
struct Said(&'static [&'static str]);

impl Reads for Said {
    fn of<'r>(&'r self, _: &'r BuildTarget, _: Option<&'r str>) -> Judge<'r> {
        Box::new(|path| match () {
            () if self.0.contains(&path) => Reading::ByName,
            () if path.starts_with("along") => Reading::Along,
            () => Reading::No,
        })
    }
}

#[test]
fn a_circle_takes_as_few_edges_as_it_needs_and_says_which() {
    let text = "build base { from scratch; workdir \"/\" }
         run report { command \"true\"; needs base; outputs \"o/report\" }
         build app { context \".\"; contexts { base (target)base } }
         run smoke { command \"true\"; needs app; outputs \"o/smoke\" }
         run late { command \"true\"; needs app; outputs \"along/late\" }
         run early { command \"true\"; outputs \"along/early\" }";
    let graph = Graph::with_dockerfiles(parsed(text), &Said(&["o/report"])).unwrap();
    let names: Vec<String> = uses(&graph, "app")
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["base", "report", "early"]);
    let told: Vec<&str> = graph
        .warnings()
        .iter()
        .map(|one| one.message.as_str())
        .collect();
    assert_eq!(
        told,
        [
            "target `app` does not wait for `late`, which waits for it: files of `late` are not inputs of `app`"
        ]
    );
    let left_out = graph.left_out(graph.find("app").unwrap());
    assert_eq!(left_out, ["along/late", "o/smoke"]);
    let written = Graph::with_dockerfiles(parsed(text), &Said(&["o/smoke"])).unwrap_err();
    assert_eq!(
        written[0].message,
        "the targets depend on each other: app -> smoke -> app"
    );
}

/// Builds that read what tests write, each of which needs one build.
fn builds_and_tests(count: usize) -> String {
    let pair = |at: usize| {
        format!(
            "build app{at} {{ context \".\" }}\n\
             run test{at} {{ command \"true\"; needs app{at}; outputs \"along/{at}\" }}\n"
        )
    };
    (0..count).map(pair).collect()
}

#[test]
fn many_builds_that_read_what_many_tests_write_wait_for_all_that_make_no_circle() {
    let text = builds_and_tests(400);
    let graph = Graph::with_dockerfiles(parsed(&text), &Said(&[])).unwrap();
    for at in 0..400 {
        let app = graph.find(&format!("app{at}")).unwrap();
        assert_eq!(graph.dependencies(app).len(), 399 - at);
    }
    assert_eq!(graph.warnings().len(), 400);
}

#[test]
fn a_search_for_circles_that_is_given_up_says_so_and_nothing_untrue() {
    let manifest = parsed(&builds_and_tests(10));
    let mut edges = Vec::new();
    for (from, to, strength) in (0..10).flat_map(|at| {
        let guessed = (0..10).map(move |test| (2 * at, 2 * test + 1, Strength::Guessed));
        guessed.chain([(2 * at + 1, 2 * at, Strength::Written)])
    }) {
        edges.push(Edge {
            from: TargetId(from),
            to: TargetId(to),
            kind: EdgeKind::Output,
            span: Span::default(),
            strength,
        });
    }
    let resolve = |known, steps| {
        let limits = yielding::Limits { known, steps };
        yielding::without_circles(20, edges.clone(), &limits)
    };
    let known = resolve(20, 0);
    assert_eq!((known.kept.len(), known.given_way.len()), (10 + 45, 55));
    let ends = |edges: &[Edge]| -> Vec<_> { edges.iter().map(|l| (l.from, l.to)).collect() };
    let searched = resolve(19, 10_000);
    assert_eq!(ends(&searched.kept), ends(&known.kept));
    assert!(searched.given_up.is_empty());
    let given_up = resolve(19, 10);
    let warnings = yielding::warnings(&manifest, &given_up);
    let (last, others) = warnings.split_last().unwrap();
    assert!(others.len() < 10, "{warnings:?}");
    let told = "too many targets may read files of other targets, so dependency cycles are not searched: `app";
    assert!(last.message.starts_with(told), "{}", last.message);
    let left_out = yielding::left_out(&manifest, &given_up);
    let left_out: usize = left_out.iter().map(Vec::len).sum();
    let counted = given_up.given_way.len() + given_up.given_up.len();
    assert_eq!((left_out, given_up.kept.len()), (counted, 110 - counted));
}

/// Counts how often somebody asks for a build.
struct Counted(std::cell::Cell<usize>);

impl Reads for Counted {
    fn of<'r>(&'r self, _: &'r BuildTarget, _: Option<&'r str>) -> Judge<'r> {
        self.0.set(self.0.get() + 1);
        Box::new(|_| Reading::No)
    }
}

#[test]
fn a_build_is_looked_at_once_whatever_number_of_outputs_lies_in_its_context() {
    let text = (0..20).map(|at| format!("build b{at} {{ context \".\"; tar \"o/{at}\" }}\n"));
    let counted = Counted(std::cell::Cell::new(0));
    Graph::with_dockerfiles(parsed(&text.collect::<String>()), &counted).unwrap();
    assert_eq!(counted.0.get(), 20);
}

#[test]
fn whatever_a_target_writes_is_an_edge_to_whoever_reads_it() {
    let text = "build app { context x; tar \"o/app.tar\"; layout \"o/app\" }
         scan gate { images app; report json=\"r/scan.json\" }
         run unpack { command \"true\"; inputs \"o/app.tar\"; outputs u }
         run all { command \"true\"; inputs \"o/*\" }
         build steps { from scratch; copy \"r/scan.json\" to=\"/\" }
         build whole { from scratch; copy \"r\" to=\"/\" }
         build named { context x; contexts { o (path)\"o/app\" } }
         build docker { context r }
         scan again { images docker; ignore-file \"u/ignore\" }
         secret s file=\"u/secret\"
         build secretly { context x; secrets s }";
    let graph = Graph::with_dockerfiles(parsed(text), &Said(&["scan.json"])).unwrap();
    let output = |name: &str| vec![(name.to_string(), EdgeKind::Output)];
    for (reader, writer) in [
        ("unpack", "app"),
        ("all", "app"),
        ("steps", "gate"),
        ("named", "app"),
        ("docker", "gate"),
        ("secretly", "unpack"),
    ] {
        assert_eq!(uses(&graph, reader), output(writer), "{reader}");
    }
    assert_eq!(uses(&graph, "whole"), []);
    assert!(uses(&graph, "again").contains(&("unpack".to_string(), EdgeKind::Output)));
}

#[test]
fn an_archive_that_a_build_writes_is_scanned_and_pushed_after_it() {
    let graph = graph(&format!(
        "{REGISTRY} build app {{ context \"x\"; tar \"out/app.tar\" }}
         scan gate {{ from tar=\"out/app.tar\" }}
         push p {{ from tar=\"./out/app.tar\"; needs gate; to hub {{ repository r; tags x }} }}"
    ));
    assert_eq!(uses(&graph, "gate"), [("app".to_string(), EdgeKind::Image)]);
    assert_eq!(
        uses(&graph, "p"),
        [
            ("app".to_string(), EdgeKind::Image),
            ("gate".to_string(), EdgeKind::Gate)
        ]
    );
}

#[test]
fn groups_in_a_circle_are_refused() {
    let found = messages("build a { context x }\ngroup g h a\ngroup h g\ngroup i i");
    assert_eq!(
        found,
        [
            "the groups depend on each other: g -> h -> g",
            "group `i` contains itself"
        ]
    );
}

#[test]
fn unknown_names_come_with_a_suggestion() {
    let text = "registry hub \"docker.io/acme\" { auth basic user=x password=(secret)tokn }
secret token env=T
build app { context x; needs bse; secrets tken; contexts { b (target)appp } }
build base { context x }
push p { images aap; to hbu { tags x } }
scan s { images \"zz-*\" }
group g bas";
    let diagnostics = Graph::new(parsed(text)).unwrap_err();
    let told: Vec<(&str, Option<&str>)> = diagnostics
        .iter()
        .map(|one| (one.message.as_str(), one.help.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            (
                "registry `hub`: secret `tokn` not found",
                Some("did you mean `token`?")
            ),
            (
                "target `app`: target `bse` not found",
                Some("did you mean `base`?")
            ),
            (
                "target `app`: secret `tken` not found",
                Some("did you mean `token`?")
            ),
            (
                "target `app`: target `appp` not found",
                Some("did you mean `app`?")
            ),
            (
                "target `p`: target `aap` not found",
                Some("did you mean `app`?")
            ),
            (
                "target `p`: registry `hbu` not found",
                Some("did you mean `hub`?")
            ),
            ("target `s`: no target matches `zz-*`", None),
            (
                "group `g`: target or group `bas` not found",
                Some("did you mean `base`?")
            ),
        ]
    );
}

const REGISTRY: &str = "registry hub \"docker.io/acme\"\n";

#[test]
fn a_push_that_needs_a_gate_pushes_only_what_it_scans() {
    let found = messages(&format!(
        "{REGISTRY} build a {{ context x }}; build b {{ context x }}
         scan gate {{ images a }}
         push p {{ images a b; needs gate; to hub {{ tags x }} }}
         push t {{ from tar=\"x.tar\"; needs gate; to hub {{ repository r; tags x }} }}
         push fine {{ images a; needs gate; to hub {{ tags x }} }}
         push ungated {{ images b; to hub {{ tags x }} }}"
    ));
    assert_eq!(
        found,
        [
            "target `p`: `b` is pushed, but no gate that it needs scans it",
            "target `t`: the archive `x.tar` is pushed, but no gate that it needs scans it",
        ]
    );
}

#[test]
fn every_push_needs_a_gate_where_the_project_demands_it() {
    let demanding = "imgmake version=1 { every-push needs-gate }";
    let project = format!(
        "{REGISTRY} build a {{ context x }}
         scan gate {{ images a }}; run lint {{ command \"true\" }}
         push fine {{ images a; needs gate; to hub {{ tags x }} }}
         push p {{ images a; to hub {{ tags x }} }}
         push other {{ images a; needs lint; to hub {{ tags x }} }}
         push t {{ from tar=\"x.tar\"; to hub {{ repository r; tags x }} }}
         push retag {{ from image=\"a:1\"; to hub {{ repository r; tags x }} }}"
    );
    let found = messages(&format!("{demanding}\n{project}"));
    let expected = ["p", "other", "t", "retag"];
    assert_eq!(
        found,
        expected.map(|name| format!("target `{name}` pushes without a gate"))
    );
    // Without the demand it is a project as any other.
    graph(&project);
}

#[test]
fn a_gate_may_scan_an_archive_and_an_image() {
    let graph = graph(&format!(
        "{REGISTRY} scan gate {{ from tar=\"./x.tar\" }}
         push t {{ from tar=\"x.tar\"; needs gate; to hub {{ repository r; tags x }} }}"
    ));
    assert_eq!(uses(&graph, "t"), [("gate".to_string(), EdgeKind::Gate)]);
}

#[test]
fn two_targets_never_make_the_same_path() {
    let found = messages(
        "build a { context x; tar \"out/a.tar\" }
         build b { context x; layout \"./out/a.tar\" }
         run c { command \"true\"; outputs \"out/a.tar/x\" }
         run d { command \"true\"; outputs \"dist\" \"dist/js\" }
         run e { command \"true\"; outputs \"dist/js/x\" }",
    );
    assert_eq!(
        found,
        [
            "target `b`: the output `./out/a.tar` is also made by `a`",
            "target `c`: the output `out/a.tar/x` is also made by `a`",
            "target `e`: the output `dist/js/x` is also made by `d`",
        ]
    );
}

#[test]
fn several_images_do_not_go_to_one_repository() {
    let found = messages(&format!(
        "{REGISTRY} build a {{ context x }}; build b {{ context x }}
         push p {{ images a b; to hub {{ repository one; tags x }} }}"
    ));
    assert_eq!(
        found,
        ["target `p`: 2 images would be pushed to one repository"]
    );
}

#[test]
fn producers_are_found_by_any_path_in_an_output() {
    let graph = graph(RUNS);
    let names = |path: &str| {
        let ids = graph.producers(path);
        ids.into_iter()
            .map(|id| graph.name(id).to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("./web/dist/js/x"), ["assets"]);
    assert_eq!(names("gen/api.pb"), ["proto"]);
    assert_eq!(names("web"), [""; 0]);
}

#[test]
fn the_complete_example_is_a_graph_and_a_plan() {
    let graph = graph(include_str!("../../tests/data/manifest/complete.kdl"));
    let names = |requested: &[&str]| {
        let requested: Vec<String> = requested.iter().map(|name| name.to_string()).collect();
        let plan = crate::plan::select(&graph, &requested);
        let plan =
            plan.map_err(|error| format!("{error}; {}", error.help().unwrap_or_default()))?;
        Ok::<_, String>(
            plan.order
                .iter()
                .map(|id| graph.name(*id))
                .collect::<Vec<_>>()
                .join(" "),
        )
    };
    let workers = "worker-py3-12-slim worker-py3-13-slim worker-py3-13-full";
    assert_eq!(names(&[]).unwrap(), "assets base app static");
    assert_eq!(
        names(&["ci"]).unwrap(),
        format!("assets base app static {workers} gate")
    );
    assert_eq!(names(&["worker"]).unwrap(), workers);
    assert_eq!(
        names(&["worker-*-full", "*-full"]).unwrap(),
        "worker-py3-13-full"
    );
    assert_eq!(names(&["stat*", "static"]).unwrap(), "assets static");
    assert_eq!(names(&["retag"]).unwrap(), "retag");
    for (wrong, told) in [
        (
            "rettag",
            "target or group `rettag` not found; did you mean `retag`?",
        ),
        (
            "release",
            "target `release` is disabled by its `if`; set the variable that its `if` reads",
        ),
        (
            "zz*",
            "no target or group matches `zz*`; `imgmake list` shows them all",
        ),
    ] {
        assert_eq!(names(&[wrong]).unwrap_err(), told);
    }
}

#[test]
fn a_thousand_targets_with_twenty_inputs_each_find_their_producers() {
    let mut text = String::new();
    for at in 0..1000 {
        let inputs: Vec<String> = (0..20)
            .map(|input| match input {
                0 if at > 0 => format!("\"out/t{}/**/*.o\"", at - 1),
                _ => format!("\"src/t{at}/dir{input}/**\""),
            })
            .collect();
        text += &format!(
            "run t{at} {{ command \"true\"; inputs {}; outputs \"out/t{at}\" }}\n",
            inputs.join(" ")
        );
    }
    let manifest = parsed(&text);
    let begun = std::time::Instant::now();
    let graph = Graph::new(manifest).unwrap();
    if std::env::var_os("TIMES").is_some() {
        eprintln!("1000 targets: {:?}", begun.elapsed());
    }
    assert_eq!(
        graph
            .ids()
            .map(|id| graph.dependencies(id).len())
            .sum::<usize>(),
        999
    );
}
