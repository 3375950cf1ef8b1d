# What people do here, by name. `just` lists them.

default:
    @just --list

# The first thing to try: builds, scans and writes the example image.
hello:
    cargo run --profile quick -- -C examples/hello

# The tests, with the Debian packages that they need.
test *arguments:
    tests/run {{arguments}}

# Everything that CI checks.
ci:
    .ci/run

# The CI templates against their platforms' schemas.
schemas:
    tests/run --install-only
    cargo test --quiet --locked --test it templates::schemas

# Feeds a target of fuzz/ with bytes until it breaks: `just fuzz dockerfile -max_total_time=600`.
# Needs `cargo install cargo-fuzz` and a nightly compiler; seeds are those of the tests.
fuzz target *arguments:
    mkdir -p fuzz/corpus/{{target}}
    FUZZ_WRITE_SEEDS=fuzz/corpus cargo test --test it fuzz::
    cargo +nightly fuzz run {{target}} -- {{arguments}}

# The same without nightly: mutations of real input, for as many seconds per target.
fuzz-stable seconds="60" target="":
    FUZZ_SECONDS={{seconds}} FUZZ_TARGET={{target}} cargo test --test it fuzz:: -- --nocapture

# Speed and memory beside buildah, skopeo, ninja: ratios in one run.
bench *workloads:
    cargo build --profile dist
    benches/run {{workloads}}

# The book, opened in a browser.
book:
    mdbook serve --open book

# The images of imgmake: out/imgmake.tar and out/debug.tar in examples/self.
image *arguments:
    cargo run --profile quick -- -C examples/self {{arguments}}

# A static binary, in examples/self/out.
static:
    examples/self/gather program
