//! `--timing`: the run as a timeline, in files.

use std::path::{Path, PathBuf};

use super::args::Global;
use super::report_file;
use crate::exit::Exit;
use crate::report::timeline::{Form, Recorder};
use imgmake_event::Events;

pub(super) struct Timing {
    files: Vec<(PathBuf, Form)>,
    recorder: Option<Recorder>,
}

impl Timing {
    /// Begins to record, if there is a file to write.
    ///
    /// # Errors
    /// A file's name does not say what it is to be.
    pub fn of(files: &[PathBuf]) -> Result<Timing, Exit> {
        let form = |path: &PathBuf| {
            match Form::of(path) {
            Some(form) => Ok((path.clone(), form)),
            None => Err(Exit::usage(format!(
                "`--timing {}`: unknown kind of file",
                path.display()
            ))
            .with_help("expected a name that ends with `.html` (a page) or `.json` (Chrome's trace format)")),
        }
        };
        let files = files.iter().map(form).collect::<Result<Vec<_>, Exit>>()?;
        let recorder = (!files.is_empty()).then(Recorder::start);
        Ok(Timing { files, recorder })
    }

    pub fn on_the_way_to(&self, events: Events) -> Events {
        match &self.recorder {
            Some(recorder) => recorder.on_the_way_to(events),
            None => events,
        }
    }

    /// The run is over, however it ended.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, global: &Global, project: &Path) -> Result<(), Exit> {
        let Some(recorder) = &self.recorder else {
            return Ok(());
        };
        let timeline = recorder.finish();
        for (path, form) in &self.files {
            report_file::write(global, project, path, &timeline.written(*form))?;
        }
        Ok(())
    }
}
