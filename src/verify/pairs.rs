//! The loop: both servers are visited in turn, the order turned round from pair to pair.

use std::time::Duration;

use autotune_engine::api::Clock;

use super::visit::visit;
use super::{About, AskError, ServeError, Servers, Shape};
use crate::model::{ServedPair, ServedVisit, Side};

/// Visits with a failed request that are put up with: one may be an accident.
const ACCIDENTS: u32 = 2;

/// A comparison, ready to run.
pub struct Verify<'a> {
    /// Where servers come from.
    pub servers: &'a mut dyn Servers,
    /// What is sent.
    pub shape: &'a Shape,
    /// Requests at once: to the default server, and to the tuned one.
    pub parallel: [u32; 2],
    /// Pairs at most.
    pub pairs: u32,
    /// No pair is begun that is not expected to end within this time.
    pub budget: Duration,
    /// The time.
    pub clock: Box<dyn Clock>,
}

/// What a comparison does, as it does it.
#[derive(Debug)]
pub enum Event<'e> {
    /// A visit begins.
    Begun {
        /// To which server.
        side: Side,
        /// Of which pair, from 1.
        pair: u32,
    },
    /// A visit has ended.
    Visited {
        /// Which server.
        side: Side,
        /// Of which pair, from 1.
        pair: u32,
        /// What it came to.
        visit: ServedVisit,
    },
    /// A request failed, and the pair is begun anew.
    Failed {
        /// Why.
        reason: &'e str,
    },
}

/// What was measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ending<T> {
    /// Pairs, or visits of a server that stands alone, in order.
    pub measured: Vec<T>,
    /// What the default and the tuned server say of themselves.
    pub about: [About; 2],
    /// Visits with a failed request, which are left out.
    pub failed: u32,
    /// Whether the budget ended it.
    pub out_of_time: bool,
}

/// What a run of visits has come to.
struct Tally {
    about: [About; 2],
    asked: u32,
    failed: u32,
}

impl Verify<'_> {
    /// Compares two servers.
    pub fn run(self, tell: &mut dyn FnMut(&Event<'_>)) -> Result<Ending<ServedPair>, ServeError> {
        self.repeat(tell, |own, tally, pair, tell| {
            let order = if pair % 2 == 1 {
                [Side::Default, Side::Tuned]
            } else {
                [Side::Tuned, Side::Default]
            };
            let Some(first) = own.visit(tally, order[0], pair, tell)? else { return Ok(None) };
            let Some(second) = own.visit(tally, order[1], pair, tell)? else { return Ok(None) };
            let (default, tuned) =
                if order[0] == Side::Default { (first, second) } else { (second, first) };
            Ok(Some(ServedPair { first: order[0], default, tuned }))
        })
    }

    /// Visits the one server there is, called the tuned one.
    pub fn observe(
        self,
        tell: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Ending<ServedVisit>, ServeError> {
        self.repeat(tell, |own, tally, pair, tell| own.visit(tally, Side::Tuned, pair, tell))
    }

    fn repeat<T>(
        mut self,
        tell: &mut dyn FnMut(&Event<'_>),
        mut step: impl FnMut(
            &mut Self,
            &mut Tally,
            u32,
            &mut dyn FnMut(&Event<'_>),
        ) -> Result<Option<T>, ServeError>,
    ) -> Result<Ending<T>, ServeError> {
        let begun = self.clock.now();
        let (mut longest, mut out_of_time) = (Duration::ZERO, false);
        let mut tally = Tally { about: Default::default(), asked: 0, failed: 0 };
        let mut measured = Vec::new();
        while measured.len() < self.pairs as usize {
            let now = self.clock.now();
            if now.saturating_sub(begun) + longest > self.budget {
                out_of_time = true;
                break;
            }
            let number = u32::try_from(measured.len()).unwrap_or(u32::MAX).saturating_add(1);
            measured.extend(step(&mut self, &mut tally, number, tell)?);
            longest = longest.max(self.clock.now().saturating_sub(now));
        }
        Ok(Ending { measured, about: tally.about, failed: tally.failed, out_of_time })
    }

    /// One visit to a server of its own; `None` where a request failed by accident.
    fn visit(
        &mut self,
        tally: &mut Tally,
        side: Side,
        pair: u32,
        tell: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Option<ServedVisit>, ServeError> {
        tell(&Event::Begun { side, pair });
        let place = usize::from(side == Side::Tuned);
        let mut server = self.servers.open(side)?;
        tally.about[place] = server.about().clone();
        tally.asked += 1;
        match visit(server.as_mut(), self.shape, self.parallel[place]) {
            Ok(visit) => {
                tell(&Event::Visited { side, pair, visit });
                Ok(Some(visit))
            }
            Err(AskError::Server(error)) => Err(error),
            Err(AskError::Request(reason)) => {
                tally.failed += 1;
                if tally.failed > ACCIDENTS {
                    let (failed, asked) = (tally.failed, tally.asked);
                    return Err(ServeError::Failing { failed, asked, reason });
                }
                tell(&Event::Failed { reason: &reason });
                Ok(None)
            }
        }
    }
}
