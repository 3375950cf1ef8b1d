//! SKELETON. Being written right now by the lead, whole: arguments, runner
//! (build, scan, push, run), commands, watch, report (landed), main. The execute
//! founder lands key, state, execute at once, then writes tests/it for `run`
//! targets and tidy, and then looks for bugs in cli once it has landed.
