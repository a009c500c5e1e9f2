//! What local mode prints: plain lines, shared by its tasks.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// Lines for the person at the terminal. A closed terminal is no reason to stop serving.
#[derive(Clone)]
pub struct Out(Arc<Mutex<Box<dyn Write + Send>>>);

impl Out {
    /// Prints to a sink.
    #[must_use]
    pub fn new(sink: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Box::new(sink))))
    }

    /// Prints one line, or several.
    pub fn line(&self, text: impl AsRef<str>) {
        let mut sink = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody reads any more; the service goes on.
        let _ = writeln!(sink, "{}", text.as_ref()).and_then(|()| sink.flush());
    }
}

impl std::fmt::Debug for Out {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Out")
    }
}
