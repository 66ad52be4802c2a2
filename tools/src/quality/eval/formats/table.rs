//! Rows of CSV and TSV files.

use super::super::file::read_text;
use anyhow::{Context, Result, ensure};
use csv::{ReaderBuilder, StringRecord};
use std::path::Path;

/// A row and where it stands.
pub struct Row {
    /// The file and the line that the row begins on.
    pub place: String,
    record: StringRecord,
}

/// The rows of a file without a header, each of `width` fields.
pub fn rows(path: &Path, delimiter: u8, width: usize) -> Result<Vec<Row>> {
    let text = read_text(path)?;
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(text.as_bytes());
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.with_context(|| path.display().to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        let place = format!("{}:{line}", path.display());
        ensure!(record.len() == width, "{place}: expected {width} columns, found {}", record.len());
        rows.push(Row { place, record });
    }
    Ok(rows)
}

/// The rows of a CSV file with a header: of each, the columns so named, in that order.
pub fn columns(path: &Path, names: &[&str]) -> Result<Vec<Row>> {
    let text = read_text(path)?;
    let mut reader = ReaderBuilder::new().from_reader(text.as_bytes());
    let header = reader.headers().with_context(|| path.display().to_string())?.clone();
    let at = names
        .iter()
        .map(|name| {
            let found = || header.iter().collect::<Vec<_>>().join(", ");
            let missing = || format!("{}: expected a column '{name}', found {}", path.display(), found());
            header.iter().position(|column| column.trim() == *name).with_context(missing)
        })
        .collect::<Result<Vec<_>>>()?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.with_context(|| path.display().to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        let record = at.iter().map(|column| &record[*column]).collect();
        rows.push(Row { place: format!("{}:{line}", path.display()), record });
    }
    Ok(rows)
}

impl std::ops::Index<usize> for Row {
    type Output = str;

    fn index(&self, column: usize) -> &str {
        &self.record[column]
    }
}
