//! The layers that a build adds: as one, and without some paths.

use super::*;

fn one(request: BuildRequest) -> BuildRequest {
    BuildRequest {
        added: AddedLayers {
            count: LayerCount::One,
            ..AddedLayers::default()
        },
        ..request
    }
}

fn without(request: BuildRequest, paths: &[&str]) -> BuildRequest {
    BuildRequest {
        added: AddedLayers {
            without: IgnoredPaths::new(paths.iter().copied()),
            ..request.added.clone()
        },
        ..request
    }
}

const BASE: &str = "FROM scratch\nCOPY a /a\nCOPY b /b\n";

fn project() -> Project {
    let p = Project::new();
    p.write("a", "1").write("b", "2").write("c", "3");
    p
}

/// A request on an image of two layers.
fn on_base(p: &Project, dockerfile: &str) -> BuildRequest {
    let base = p.build(BASE).built.root;
    let mut request = p.request(&format!("FROM base\n{dockerfile}"));
    request
        .contexts
        .insert("base".into(), NamedContext::Target(base));
    request
}

#[test]
fn what_is_added_becomes_one_layer_and_the_base_keeps_its_own() {
    let p = project();
    let request = on_base(&p, "COPY b /a\nENV X=1\nCOPY c /new/c\nCOPY a /new/c\n");
    let plain = p.run(&request).unwrap();
    let squashed = p.run(&one(request.clone())).unwrap();
    let digests = |image: &Image| -> Vec<String> {
        let layers = image.manifest.layers.iter();
        layers.map(|l| l.digest.to_string()).collect()
    };
    assert_eq!((digests(&plain).len(), digests(&squashed).len()), (5, 3));
    assert_eq!(digests(&plain)[..2], digests(&squashed)[..2]);
    assert_eq!(
        squashed.layers[2],
        ["644 0:0 a 1", "755 0:0 new/", "644 0:0 new/c 1"]
    );
    let told = squashed.created_by();
    assert_eq!(told.len(), plain.created_by().len() + 1);
    assert_eq!(told.last(), Some(&"squash 3 layers # imgmake"));
    assert_eq!(plain.config.config, squashed.config.config);

    // A second time, and in another store.
    let again = p.run(&one(request.clone())).unwrap();
    assert_eq!(again.built.root.digest, squashed.built.root.digest);
    assert_eq!((again.built.steps_run, again.built.steps_cached), (0, 4));
    let other = project();
    let elsewhere = on_base(&other, "COPY b /a\nENV X=1\nCOPY c /new/c\nCOPY a /new/c\n");
    let elsewhere = other.run(&one(elsewhere)).unwrap();
    assert_eq!(elsewhere.built.root.digest, squashed.built.root.digest);
}

#[test]
fn one_layer_or_none_is_left_as_it_is() {
    let p = project();
    for steps in ["ENV X=1\n", "COPY c /c\n"] {
        let request = on_base(&p, steps);
        let plain = p.run(&request).unwrap();
        let squashed = p.run(&one(request)).unwrap();
        assert_eq!(plain.built.root.digest, squashed.built.root.digest);
    }
}

#[test]
fn stages_below_the_target_belong_to_what_is_added() {
    let p = project();
    let file =
        "FROM scratch AS low\nCOPY a /\nFROM low AS middle\nCOPY b /\nFROM middle\nCOPY c /\n";
    let mut request = one(p.request(file));
    request.platforms.push("linux/arm64".parse().unwrap());
    let built = build(&request, &p.engine).unwrap();
    let bytes = p.engine.store.read_blob(&built.root.digest, 1 << 20);
    let index: imgmake_oci::image::ImageIndex = from_json(&bytes.unwrap()).unwrap();
    for platform in &index.manifests {
        let bytes = p.engine.store.read_blob(&platform.digest, 1 << 20);
        let manifest: ImageManifest = from_json(&bytes.unwrap()).unwrap();
        assert_eq!(manifest.layers.len(), 1);
    }
    assert_eq!(index.manifests.len(), 2);
}

#[test]
fn ignored_paths_are_in_no_layer_and_other_steps_see_them() {
    let p = project();
    let file = "FROM scratch AS low\nCOPY a /keep/x\nCOPY b /tmp/y\nCOPY c /tmp-not/z\n\
        FROM low\nCOPY --from=low /tmp/y /copied\nCOPY a b /tmp/\nCOPY a b /keep/\n";
    let request = without(p.request(file), &["/tmp", "/keep/b"]);
    let image = p.run(&request).unwrap();
    let paths: Vec<Vec<String>> = image
        .layers
        .iter()
        .map(|layer| {
            let files = layer.iter().filter(|line| !line.ends_with('/'));
            let path = |line: &String| line.split(' ').nth(2).unwrap().to_string();
            files.map(path).collect()
        })
        .collect();
    assert_eq!(
        paths,
        [
            vec!["keep/x".to_string()],
            vec!["tmp-not/z".into()],
            vec!["copied".into()],
            vec!["keep/a".into()]
        ]
    );
    let again = p.run(&request).unwrap();
    assert_eq!(again.built.steps_run, 0);
    let single = p.run(&one(request.clone())).unwrap();
    assert_eq!(single.layers.len(), 1);
    // Steps are the same as without.
    let plain = p.run(&p.request(file)).unwrap();
    assert_eq!(plain.built.steps_run, 0);
}

#[test]
fn the_form_of_the_layers_is_a_setting_that_makes_a_target_stale() {
    let p = project();
    let entries = |request: &BuildRequest| inputs(request, &p.engine).unwrap();
    let plain = p.request("FROM scratch\nCOPY a /\n");
    let forms = [
        one(plain.clone()),
        without(plain.clone(), &["/x"]),
        without(plain.clone(), &["/y"]),
        plain,
    ];
    for (at, form) in forms.iter().enumerate() {
        for other in &forms[at + 1..] {
            assert_ne!(entries(form), entries(other));
        }
    }
}
