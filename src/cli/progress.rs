//! What the user sees while the work goes on.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::bake::{Event, Progress};

/// A line on the terminal that tells what is under way; nothing where stderr is no terminal.
pub struct Display {
    bar: ProgressBar,
}

impl Display {
    /// A display; `quiet` shows nothing.
    pub fn new(quiet: bool) -> Self {
        let bar = if quiet || !std::io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        };
        Self { bar }
    }

    /// Takes the line away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Display {
    fn event(&self, event: Event<'_>) {
        tracing::info!("{event}");
        self.bar.set_message(event.to_string());
    }
}
