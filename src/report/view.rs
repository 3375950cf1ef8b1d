//! One way of showing events while they come.

use std::io::Write;

use imgmake_event::Event;

pub type Sink = Box<dyn Write + Send>;

/// One way of showing events as they come.
pub trait View: Send {
    fn event(&mut self, event: &Event);
    /// The run is over; nothing of the view may stay half drawn.
    fn close(&mut self);
}
