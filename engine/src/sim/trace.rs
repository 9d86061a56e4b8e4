//! Recorded noise: what a real machine took for the same probe again and again.

use std::path::Path;

/// Probes at most in one file.
const MOST: usize = 100_000;

/// How much slower than usual a machine was, over time.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Trace {
    /// Streams read by one thread.
    pub(super) alone: Slowness,
    /// Streams read by several threads that wait for each other.
    pub(super) together: Slowness,
    /// Arithmetic within the caches.
    pub(super) compute: Slowness,
}

/// Moments in rising order, in seconds, each with the time of a probe over the median.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Slowness(Vec<(f64, f64)>);

impl Trace {
    /// Reads `t,kind,dt` with a line of names; lines that begin with `#` are comments. The answer
    /// to a mistake is one line that names the place.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Self::parse(&text).map_err(|error| format!("{}, {error}", path.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut trace = Self::default();
        let lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
        for (at, (index, line)) in lines.enumerate() {
            let wrong = |what: &str| format!("line {}: {what}", index + 1);
            if at == 0 {
                let names = line.trim() == "t,kind,dt";
                names.then_some(()).ok_or_else(|| wrong("the columns are not t,kind,dt"))?;
                continue;
            }
            let cells: Vec<&str> = line.split(',').map(str::trim).collect();
            let [moment, kind, taken] = cells[..] else { return Err(wrong("not three columns")) };
            let number = |text: &str| {
                text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0)
            };
            let (Some(moment), Some(taken)) = (number(moment), number(taken)) else {
                return Err(wrong("a time is no positive number"));
            };
            let series = match kind {
                "S1" => &mut trace.alone,
                "S2" => &mut trace.together,
                "C1" => &mut trace.compute,
                _ => return Err(wrong("the kind is none of S1, S2 and C1")),
            };
            if series.0.last().is_some_and(|(last, _)| *last >= moment) || series.0.len() >= MOST {
                return Err(wrong("times do not rise, or there are too many"));
            }
            series.0.push((moment, taken));
        }
        for series in [&mut trace.alone, &mut trace.together, &mut trace.compute] {
            series.divide_by_median()?;
        }
        Ok(trace)
    }
}

impl Slowness {
    fn divide_by_median(&mut self) -> Result<(), String> {
        let mut taken: Vec<f64> = self.0.iter().map(|(_, taken)| *taken).collect();
        taken.sort_by(f64::total_cmp);
        let Some(median) = taken.get(taken.len() / 2) else {
            return Err("one of the kinds S1, S2 and C1 is missing".to_owned());
        };
        for (_, value) in &mut self.0 {
            *value /= median;
        }
        Ok(())
    }

    /// Seconds until it begins anew.
    pub(super) fn length_s(&self) -> f64 {
        self.0.last().map_or(1.0, |(last, _)| *last)
    }

    /// The latest value at a moment; after its end the record begins anew.
    pub(super) fn at(&self, seconds: f64) -> f64 {
        let within = seconds.rem_euclid(self.length_s());
        let after = self.0.partition_point(|(moment, _)| *moment <= within);
        self.0.get(after.saturating_sub(1)).map_or(1.0, |(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: &str = "# from nowhere\nt,kind,dt\n0.1,S1,0.1\n0.2,S2,0.2\n0.3,C1,0.3\n\
                         0.4,S1,0.2\n0.5,S2,0.2\n0.6,C1,0.3\n0.7,S1,0.4\n0.8,S2,0.2\n0.9,C1,0.6\n";

    #[test]
    fn a_record_is_repeated_around_its_median() {
        let trace = Trace::parse(SHORT).unwrap();
        for (moment, value) in [(0.0, 0.5), (0.15, 0.5), (0.45, 1.0), (0.69, 1.0)] {
            assert!((trace.alone.at(moment) - value).abs() < 1e-12, "{moment}");
        }
        assert!((trace.alone.at(0.45 + 10.0 * 0.7) - 1.0).abs() < 1e-12);
        assert!((trace.together.at(0.6) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (from, to, message) in [
            ("t,kind,dt", "time", "line 2: the columns"),
            ("0.4,S1,0.2", "0.4,S9,0.2", "line 6: the kind"),
            ("0.4,S1,0.2", "0.4,S1", "line 6: not three"),
            ("0.4,S1,0.2", "0.4,S1,nan", "line 6: a time"),
            ("0.4,S1,0.2", "0.1,S1,0.2", "line 6: times do not rise"),
        ] {
            let error = Trace::parse(&SHORT.replace(from, to)).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
        assert!(Trace::parse("t,kind,dt\n0.1,S1,0.1").unwrap_err().contains("missing"));
    }

    #[test]
    fn the_recorded_traces_can_be_read_and_are_as_rough_as_told() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/worlds/noise");
        for (name, least, most) in [("loaded.csv", 0.25, 0.7), ("moderate.csv", 0.1, 0.4)] {
            let trace = Trace::read(&Path::new(folder).join(name)).unwrap();
            let values: Vec<f64> = trace.together.0.iter().map(|(_, value)| *value).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let square = values.iter().map(|value| (value / mean - 1.0).powi(2)).sum::<f64>();
            let variation = (square / values.len() as f64).sqrt();
            assert!((least..most).contains(&variation), "{name}: {variation}");
        }
    }
}
