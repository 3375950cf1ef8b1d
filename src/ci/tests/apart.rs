//! What is kept apart: jobs by their names, caches by who writes them, files by their directory.

use std::collections::BTreeMap;

use super::*;

/// Words, keywords, and whatever another name could become.
fn many() -> Vec<String> {
    let pieces = [
        "a", "A", "b-", "-", "_", ":", "/", ".", "1", "job", "image", "pages", "imgmake-", "é",
    ];
    let mut found: Vec<String> = pieces.iter().map(|piece| piece.to_string()).collect();
    for first in pieces {
        for second in pieces {
            found.push(format!("{first}{second}"));
            found.extend(pieces.iter().map(|third| format!("{first}{second}{third}")));
        }
    }
    let long = "x".repeat(60);
    found.extend([
        long.clone(),
        long + "y",
        "image-job".into(),
        "imgmake-dag".into(),
        "imgmake-checkout".into(),
        "services/api:app".into(),
    ]);
    found.sort();
    found.dedup();
    found
}

#[test]
fn no_two_targets_become_one_job() {
    type Name = fn(&str) -> String;
    let systems: [(&str, Name); 3] = [
        ("github", names::github),
        ("gitlab", names::gitlab),
        ("kubernetes", names::kubernetes),
    ];
    for (system, name) in systems {
        // Targets that are called as others' jobs are, twice.
        let mut targets = many();
        for _ in 0..2 {
            let jobs: Vec<String> = targets.iter().map(|target| name(target)).collect();
            targets.extend(jobs);
            targets.sort();
            targets.dedup();
        }
        let mut found: BTreeMap<String, &str> = BTreeMap::new();
        for target in &targets {
            // GitHub compares without case.
            let job = match system {
                "github" => name(target).to_ascii_lowercase(),
                _ => name(target),
            };
            let before = found.insert(job, target);
            assert_eq!(before, None, "{system}: {target}");
        }
    }
}

/// All four files have as many jobs as there are targets.
#[test]
fn a_keyword_and_its_job_are_two() {
    let manifest = "build image { context \".\" }\nscan image-job { images image; advisories \"a\" }\n\
        build Image { context \".\" }\n";
    let jobs = planned(manifest, &["image-job", "Image"]).unwrap();
    for system in SYSTEMS {
        let file = read(&export(&jobs, system, &options()).unwrap());
        assert_eq!(needs(system, &file).len(), 3, "{system:?}: {file}");
    }
}

#[test]
fn names_of_jobs_are_those_of_their_systems() {
    let github = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    for target in many() {
        let job = names::github(&target);
        assert!(
            job.chars().all(github) && !job.starts_with(|c: char| c.is_ascii_digit() || c == '-'),
            "{job}"
        );
        let job = names::kubernetes(&target);
        assert!(
            job.chars().all(label)
                && job.len() <= 63
                && !job.starts_with('-')
                && !job.ends_with('-'),
            "{job}"
        );
        let job = names::gitlab(&target);
        assert!(
            job != "image" && job != "pages" && !job.starts_with('.'),
            "{job}"
        );
    }
    for name in [names::github, names::gitlab, names::kubernetes] {
        assert_eq!(name("app"), "app");
        assert_eq!(name("job-app"), "job-app");
    }
}

fn cache_of(system: System, cache: &str) -> String {
    let options = Options {
        cache: Some(cache.into()),
        ..Options::default()
    };
    let jobs = planned(MANIFEST, &["app"]).unwrap();
    let file = read(&export(&jobs, system, &options).unwrap());
    let at = match system {
        System::Github => &file["env"],
        _ => &file["variables"],
    };
    at["IMGMAKE_CACHE"].as_str().unwrap().to_string()
}

#[test]
fn pull_requests_have_another_cache_than_what_is_pushed() {
    for (system, suffix) in [
        (System::Github, "-${{ github.event_name }}"),
        (System::Gitlab, "-$CI_COMMIT_REF_PROTECTED"),
    ] {
        // `~` is where the suffix belongs.
        for cache in [
            "r.example.com/c~",
            "r.example.com:5000/c~",
            "r.example.com:5000/c~:tag",
            "r.example.com/c~/",
            "r.example.com/c~,mode=min",
            "r.example.com/c~ , mode=min",
            "type=registry,ref=r.example.com/c~,mode=max",
            "type=registry,mode=max,ref=r.example.com/c~:tag",
            "r.example.com/c,ref=r.example.com/d~",
            "ghcr.io/${{ format('{0}:{1},x', github.repository, 1) }}/c~",
            "ghcr.io/${{ github.repository }}~,mode=min",
            "$CI_REGISTRY_IMAGE/c~,mode=min",
            "${CI_REGISTRY_IMAGE}~",
        ] {
            let expected = cache.replace('~', suffix);
            assert_eq!(cache_of(system, &cache.replace('~', "")), expected);
        }
    }
}

#[test]
fn a_cache_of_the_manifest_that_pull_requests_write_is_noted() {
    let manifest = |access: &str| {
        format!(
            "imgmake version=1 {{ cache {{ registry ref=\"r.example.com/c\"{access} }} }}\nbuild app {{ context \".\" }}\n"
        )
    };
    for (access, is_written) in [
        ("", true),
        (" access=\"read-write\"", true),
        (" access=\"write\"", true),
        (" access=\"read\"", false),
        (" access=\"off\"", false),
    ] {
        let jobs = planned(&manifest(access), &["app"]).unwrap();
        for system in SYSTEMS {
            let has_strangers = matches!(system, System::Github | System::Gitlab);
            let noted = note(&jobs, system);
            assert_eq!(
                noted.is_some(),
                is_written && has_strangers,
                "{system:?} {access}"
            );
        }
    }
    let jobs = planned(MANIFEST, &["app"]).unwrap();
    assert_eq!(SYSTEMS.map(|system| note(&jobs, system)), [None; 4]);
}

#[test]
fn an_absolute_path_is_of_no_directory() {
    let options = Options {
        directory: "shop".into(),
        ..options()
    };
    assert_eq!(options.path("/tmp/x.tar"), "/tmp/x.tar");
    assert_eq!(options.path("x.tar"), "shop/x.tar");
    let manifest = "build app { context \".\"; tar \"/tmp/x.tar\" }\n";
    let jobs = planned(manifest, &["app"]).unwrap();
    let file = read(&export(&jobs, System::Gitlab, &options).unwrap());
    assert_eq!(file["app"]["artifacts"]["paths"], json!(["/tmp/x.tar"]));
}
