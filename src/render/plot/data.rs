//! The numbers behind a picture, for whoever wants to draw it anew.

use crate::stats::Estimate;

/// A table in base units; what is unknown is an empty field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Data {
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Data {
    /// A table with these columns.
    pub(super) fn new(columns: &[&'static str]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If it has not as many fields as there are columns.
    pub(super) fn row(&mut self, fields: impl IntoIterator<Item = String>) {
        let fields: Vec<String> = fields.into_iter().collect();
        assert_eq!(fields.len(), self.columns.len(), "a field for each of {:?}", self.columns);
        self.rows.push(fields);
    }

    /// The table as CSV.
    pub(super) fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut write = |row: &[String]| {
            writer.write_record(row).expect("rows of equal length fit into memory");
        };
        write(&self.columns.iter().map(ToString::to_string).collect::<Vec<_>>());
        self.rows.iter().for_each(|row| write(row));
        let bytes = writer.into_inner().expect("memory can always be flushed");
        String::from_utf8(bytes).expect("only text was written")
    }
}

/// A number, or nothing.
pub(super) fn number(value: Option<f64>) -> String {
    value.filter(|value| value.is_finite()).map_or_else(String::new, |value| value.to_string())
}

/// Value, both ends of the interval, and the number of samples.
pub(super) fn estimate(estimate: Option<Estimate>) -> [String; 4] {
    let Some(it) = estimate else { return Default::default() };
    [number(Some(it.value)), number(it.low), number(it.high), it.n.to_string()]
}

/// Numbers of trials: `3 7 12`.
pub(super) fn trials(ids: &[u32]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
