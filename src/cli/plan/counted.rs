//! Forecasts of many settings, each asked for once.

use std::collections::BTreeMap;
use std::path::Path;

use autotune_engine::api::{Engine, Failure, Forecast, Setting};

use super::uncountable;
use crate::cli::Stop;

/// What the engine reserves under each setting, or why it would not say.
pub(super) struct Counted(BTreeMap<Setting, Result<Forecast, Failure>>);

impl Counted {
    /// Asks for all of them in one go.
    pub(super) fn of<'a>(
        settings: impl Iterator<Item = &'a Setting>,
        model: &Path,
        engine: &mut dyn Engine,
    ) -> Result<Self, Stop> {
        let mut asked: Vec<Setting> = settings.cloned().collect();
        asked.sort();
        asked.dedup();
        let found = engine.reservations(model, &asked).map_err(|failure| uncountable(&failure))?;
        Ok(Self(asked.into_iter().zip(found).collect()))
    }

    /// Panics for a setting that was not asked for.
    pub(super) fn get(&self, setting: &Setting) -> Result<&Forecast, &Failure> {
        self.0.get(setting).expect("every setting that is looked up was asked for").as_ref()
    }
}
