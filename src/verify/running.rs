//! Servers that run already, at addresses the user gave. Nothing of them is changed or stopped.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::line::Line;
use super::{About, Address, Answers, Ask, AskError, ServeError, Server, Servers};
use crate::model::Side;

/// One or two running servers.
#[derive(Debug)]
pub struct Running {
    /// The one with the tuned setting, or the only one.
    pub tuned: Address,
    /// The one with the default setting, where there are two.
    pub default: Option<Address>,
    /// For all replies to requests that were sent at once.
    pub answer: Duration,
    /// Set when somebody asked to stop.
    pub interrupted: Arc<AtomicBool>,
}

impl Servers for Running {
    fn open(&mut self, side: Side) -> Result<Box<dyn Server>, ServeError> {
        let address = match side {
            Side::Default => self.default.as_ref().unwrap_or(&self.tuned),
            Side::Tuned => &self.tuned,
        };
        let name = address.to_string();
        let interrupted = Arc::clone(&self.interrupted);
        let mut line = Line::new(address.clone(), name.clone(), self.answer, interrupted);
        match line.healthy() {
            Ok(true) => {}
            Ok(false) => {
                let reason = "it is still loading its model, or too busy to answer".to_owned();
                return Err(ServeError::NotAServer { address: name, reason });
            }
            Err(reason) => return Err(ServeError::NotAServer { address: name, reason }),
        }
        line.introduce()?;
        Ok(Box::new(Known(line)))
    }
}

/// A server of somebody else.
struct Known(Line);

impl Server for Known {
    fn about(&self) -> &About {
        self.0.about()
    }

    fn ask(&mut self, asks: &[Ask]) -> Result<Answers, AskError> {
        self.0.ask(asks, || None)
    }
}
