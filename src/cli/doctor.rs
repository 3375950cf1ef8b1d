//! `doctor`: which ways of isolating RUN work here, and why the others do not.

use super::args::Global;
use super::environment::Environment;
use super::exit::Exit;
use super::output::print;
use super::tools::tier;
use crate::build::worker::Worker;
use crate::store::Store;

pub fn doctor(global: &Global, environment: &Environment) -> Result<u8, Exit> {
    let path = environment.store(global)?;
    let mut text = format!(
        "imgmake {}\n\nstore: {}\n",
        env!("CARGO_PKG_VERSION"),
        path.display()
    );
    let store = match Store::open(&path) {
        Ok(store) => store,
        Err(error) => {
            print(&format!("{text}  ✗ {error:#}\n"))?;
            return Ok(super::exit::FAILED);
        }
    };
    text.push_str("\nRUN isolation, best first:\n");
    for probe in crate::sandbox::probe() {
        let tier = probe.tier;
        match probe.works {
            Ok(()) => text.push_str(&format!("  ✓ {tier}\n")),
            Err(why) => text.push_str(&format!("  ✗ {tier}: {why}\n")),
        }
    }
    match Worker::new(store, tier(environment)?).tier() {
        Ok(tier) => text.push_str(&format!("\nRUN will use: {tier}\n")),
        Err(error) => text.push_str(&format!(
            "\nRUN cannot work here: {error:#}\nBuilds without RUN work all the same.\n"
        )),
    }
    print(&text)?;
    Ok(0)
}
