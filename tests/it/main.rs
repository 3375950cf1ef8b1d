//! What imgmake promises, seen from outside: the program is run as people run
//! it, against real registries, real base images and real users.
//!
//! | module | what it claims |
//! |---|---|
//! | `adversary` | who may write what, and what happens when they lie; what a RUN is refused, in every isolation mode |
//! | `bases` | a base's layers are read once, and by nobody where nobody needs them |
//! | `conformance` | what each rule of a Dockerfile gives, case by case, as data |
//! | `command_line` | what the command line says beyond the names of targets |
//! | `certificates` | `verify` accepts who a certificate names, if a log says when |
//! | `checkouts` | what lies beside a manifest is believed only with the user's MAC |
//! | `containers` | imgmake inside of Docker's containers: with the usual profile, read-only, as process 1, as a user |
//! | `daemons` | images go into Docker's and Podman's own stores, and come out of Docker's |
//! | `dependencies` | licenses, bans and sources of dependencies are those of `deny.toml` |
//! | `deterministic` | the same inputs give the same digest, for anybody |
//! | `dockerfiles` | RUN's steps see what they should; what is reused; how failures read |
//! | `fan_out` | what several images, tags and registries share is sent once; a failed one is retried alone |
//! | `doctor` | which isolation is used, why, and how to get a better one |
//! | `examples` | each example works as it says |
//! | `exports` | the files of an image in a directory or an archive are outputs like others |
//! | `exhausted` | small inputs that claim to be huge fill no disk, and long work ends when it is told to |
//! | `same_as_buildah` | Dockerfiles give the peers' trees and configs; peers take what we write |
//! | `release` | build, scan, push to many; push-only; credentials |
//! | `registry_cache` | machines share steps through a registry, and none of its moods breaks a build |
//! | `inputs` | which files a `run` target depends on |
//! | `inventories` | the inventory of real content is what dpkg, pip, npm, pnpm, Go, cargo and lists of jars name (`tests/run --long`) |
//! | `interrupted` | kills and signals lose nothing and leave nothing |
//! | `links_out` | a link in a checkout that leads out of it is not read, and its text in no message |
//! | `lock_file` | names outside stay what they were in every clone until `update` moves them |
//! | `locks` | one run works in a project; what a killed one left is stopped first; daemons keep nobody waiting |
//! | `login` | what `login` and `logout` leave in Docker's file, and whom they ask before |
//! | `models` | random projects, edited, killed and run twice at once, end as a build from nothing does |
//! | `networks` | what RUN reaches by `network` of the manifest and by `--network` |
//! | `offline` | `--offline` opens no connection and names what is missing |
//! | `joined` | images of several machines become one, each of them judged by the gate |
//! | `judged` | the specification's own types read what is written, and lose nothing of it |
//! | `kaniko` | kaniko's arguments: contexts, destinations, files, refusals |
//! | `permission` | a push that would be refused is refused before the build, for every plugin |
//! | `bake` | bake files are built and pushed by the plugin's step |
//! | `index_children` | statements in an image's index are as BuildKit writes them, and change no image |
//! | `import` | a manifest from a bake file makes the same images |
//! | `bad_input` | every refusal has a place, a reason and a next step |
//! | `book` | every snippet of the book and the README does what it shows |
//! | `fuzz` | whatever reads bytes from outside takes any bytes |
//! | `gates` | what no gate passes: databases that changed, what nobody judged, pushes without one |
//! | `graphs` | what needs what, in every format |
//! | `hostile_registry` | what registries and scanned images say is shown, and not sent |
//! | `hostile_text` | no words of others speak to the terminal or to the CI system |
//! | `host_commands` | `run` targets: incremental, explained, cut off early, safe when killed |
//! | `pages` | a run and the graph as pages, in the browser that shows them; `--rehash` |
//! | `packages` | `apt-get install` gives the same image in every kind of isolation |
//! | `programs` | what a checkout holds is no setting of the programs that are started |
//! | `stale` | what makes a build stale, setting by setting |
//! | `unchanged` | what is believed of files by their looks alone, and never longer than it is true |
//! | `stores` | where a store can be: volumes, read-only directories, file systems without modes |
//! | `platforms` | other platforms: RUN by an emulator, the rest without |
//! | `tidy` | which crate may know which, no cycles of files, where effects are |
//! | `sandbox` | RUN in every kind of isolation |
//! | `since` | `plan --since` names what a range of commits touches, also in a fresh clone |
//! | `services` | packages with services and users are installed alike in every isolation (`tests/run --long`) |
//! | `scheduling` | when targets work, for how long, how often, how many at once; plans for programs |
//! | `secrets` | no password is in anything that is printed, written, built or started |
//! | `repositories` | what is cloned is what git clones; hostile trees and servers lead nowhere |
//! | `public_pipelines` | arguments and settings of pipelines that people published work, or are refused with what to write |
//! | `reproduced` | `reproduce` builds from nothing, and leaves nothing in the project, a registry or the machine |
//! | `seeds` | pipelines of CI platforms work when only the plugin's image is exchanged |
//! | `templates` | each pipeline of `examples/ci` does what it shows |
//! | `toolchains` | compilers and package managers work inside of images (`tests/run --long`) |
//! | `shell_on_fail` | a terminal leads into the step that failed |
//! | `watching` | `watch` runs again for what a target reads, and for nothing else |
//! | `ground` | no claims: registries, base images, users, peers |

mod ground;

mod adversary;
mod archives;
mod bad_input;
mod bake;
mod base_policy;
mod bases;
mod book;
mod cache_mounts;
mod certificates;
mod checkouts;
mod ci_logs;
mod command_line;
mod completions;
mod conformance;
mod containers;
mod daemons;
mod databases;
mod dependencies;
mod deterministic;
mod differences;
mod dockerfiles;
mod doctor;
mod examples;
mod exhausted;
mod exit_codes;
mod exports;
mod fan_out;
mod fuzz;
mod gates;
mod graphs;
mod host_commands;
mod hostile_registry;
mod hostile_text;
mod import;
mod index_children;
mod inputs;
mod interactive;
mod interrupted;
mod inventories;
mod jobservers;
mod joined;
mod judged;
mod kaniko;
mod layouts;
mod limits;
mod links_out;
mod lock_file;
mod locks;
mod login;
mod models;
mod networks;
mod offline;
mod own_image;
mod packages;
mod pages;
mod permission;
mod platforms;
mod policies;
mod programs;
mod provenance;
mod public_pipelines;
mod registry_cache;
mod release;
mod remote_contexts;
mod repositories;
mod reproduced;
mod room;
mod same_as_buildah;
mod sandbox;
mod scheduling;
mod secrets;
mod seeds;
mod services;
mod shell_on_fail;
mod signing;
mod since;
mod sources;
mod stale;
mod stores;
mod templates;
mod tidy;
mod toolchains;
mod trust_ca;
mod typed;
mod unchanged;
mod upgrades;
mod verdicts;
mod watching;
mod without_manifest;
