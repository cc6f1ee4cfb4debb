//! Numeric CSV columns as `f64`, with missing values as NaN.

use std::collections::BTreeMap;

use crate::input::{FromInput, Input};
use crate::{Error, Result};

/// The columns of a CSV with a header line, as numbers. An empty field and `NA` are missing values and become NaN.
///
/// All columns are read unless [`F64Columns::select`] selects some of them.
/// ```
/// use fabric::F64Columns;
/// let mut table = F64Columns::from_text("city,temp,rain\nOslo,1.5,NA\nBergen,,2\n")?;
/// table.select(&["temp", "rain"])?;
/// let columns = table.read_all()?;
/// assert_eq!(columns[1][1], 2.0);
/// assert!(columns[0][1].is_nan());
/// # Ok::<(), fabric::Error>(())
/// ```
#[derive(Debug)]
pub struct F64Columns {
    reader: csv::Reader<Input>,
    names: Vec<String>,
    selected: Vec<usize>,
    record: csv::ByteRecord,
    values: Vec<f64>,
    row: u64,
}

impl F64Columns {
    /// Creates a reader of a text, for tests.
    ///
    /// # Errors
    /// As [`F64Columns::new`].
    pub fn from_text(text: impl AsRef<[u8]>) -> Result<Self> {
        Self::new(Input::from_bytes(text.as_ref()))
    }

    /// Creates a reader of an input and reads the header.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidInput`] if the header is not UTF-8.
    pub fn new(input: Input) -> Result<Self> {
        let mut reader = csv::ReaderBuilder::new().buffer_capacity(32 * 1024).from_reader(input);
        let header = reader.headers().map_err(|error| Error::invalid_input(format!("the header: {error}")))?;
        let names: Vec<String> = header.iter().map(str::to_owned).collect();
        let selected = (0..names.len()).collect();
        Ok(Self { reader, names, selected, record: csv::ByteRecord::new(), values: Vec::new(), row: 0 })
    }

    /// Returns the names of all columns, in the order of the header.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Selects the columns to read, in this order.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidInput`] if the header has no such column. The text lists the columns of the header.
    pub fn select(&mut self, columns: &[impl AsRef<str>]) -> Result<&mut Self> {
        let by_name: BTreeMap<&str, usize> =
            self.names.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
        self.selected = columns
            .iter()
            .map(|column| {
                by_name.get(column.as_ref()).copied().ok_or_else(|| {
                    Error::invalid_input(format!(
                        "no column `{}` in the header; it has: {}",
                        column.as_ref(),
                        self.names.join(", ")
                    ))
                })
            })
            .collect::<Result<_>>()?;
        Ok(self)
    }

    /// Returns the selected values of the next row, valid until the next call, or `None` at the end.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidInput`] with row and column if a field is not a number, or if a row's length differs
    /// from the header's.
    pub fn next_row(&mut self) -> Result<Option<&[f64]>> {
        let row = self.row + 1;
        let more = self
            .reader
            .read_byte_record(&mut self.record)
            .map_err(|error| Error::invalid_input(format!("row {row} of the partition: {error}")))?;
        if !more {
            return Ok(None);
        }
        self.row = row;
        self.values.clear();
        for column in &self.selected {
            let field = self.record.get(*column).unwrap_or_default();
            let value = number(field).ok_or_else(|| {
                let name = self.names.get(*column).map_or("?", String::as_str);
                let field = String::from_utf8_lossy(field);
                Error::invalid_input(format!("row {row} of the partition, column `{name}`: `{field}` is not a number"))
            })?;
            self.values.push(value);
        }
        Ok(Some(&self.values))
    }

    /// Returns the next rows by column, at most `rows` of them, or `None` at the end. The last block may be shorter.
    ///
    /// # Errors
    /// As [`F64Columns::next_row`].
    pub fn next_block(&mut self, rows: usize) -> Result<Option<Vec<Vec<f64>>>> {
        let mut block = vec![Vec::new(); self.selected.len()];
        let mut count = 0;
        while count < rows {
            let Some(values) = self.next_row()? else { break };
            for (column, value) in block.iter_mut().zip(values) {
                column.push(*value);
            }
            count += 1;
        }
        Ok((count > 0).then_some(block))
    }

    /// Returns all remaining rows by column.
    ///
    /// # Errors
    /// As [`F64Columns::next_row`].
    pub fn read_all(&mut self) -> Result<Vec<Vec<f64>>> {
        Ok(self.next_block(usize::MAX)?.unwrap_or_else(|| vec![Vec::new(); self.selected.len()]))
    }
}

impl FromInput for F64Columns {
    fn from_input(input: Input) -> Result<Self> {
        Self::new(input)
    }
}

/// Parses a number. Returns NaN for a missing value and `None` for any other text.
fn number(field: &[u8]) -> Option<f64> {
    let field = field.trim_ascii();
    if field.is_empty() || field == b"NA" {
        return Some(f64::NAN);
    }
    std::str::from_utf8(field).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_values_are_nan_at_every_chunk_size() {
        let text = "a,b\r\n1,NA\r\n,\"2.5\"\r\n-3e2, 4 ";
        for chunk in 1..=text.len() {
            let mut table = F64Columns::new(Input::from_bytes_in_chunks(text, chunk)).unwrap();
            assert_eq!(table.names(), ["a", "b"]);
            let columns = table.read_all().unwrap();
            assert_eq!((columns[0][0], columns[0][2]), (1.0, -300.0));
            assert_eq!((columns[1][1], columns[1][2]), (2.5, 4.0));
            assert!(columns[0][1].is_nan() && columns[1][0].is_nan());
        }
    }

    #[test]
    fn blocks_end_with_a_shorter_one() {
        let mut table = F64Columns::from_text("x\n1\n2\n3\n4\n5\n").unwrap();
        assert_eq!(table.next_block(2).unwrap().unwrap(), [[1.0, 2.0]]);
        assert_eq!(table.next_block(2).unwrap().unwrap(), [[3.0, 4.0]]);
        assert_eq!(table.next_block(2).unwrap().unwrap(), [[5.0]]);
        assert_eq!(table.next_block(2).unwrap(), None);
    }

    #[test]
    fn what_is_not_a_number_is_named_and_unselected_text_is_not_read() {
        let mut table = F64Columns::from_text("city,x\nOslo,1\n").unwrap();
        let error = table.next_row().unwrap_err();
        assert_eq!(error.message(), "row 1 of the partition, column `city`: `Oslo` is not a number");
        let mut table = F64Columns::from_text("city,x\nOslo,1\n").unwrap();
        assert_eq!(table.select(&["x"]).unwrap().next_row().unwrap(), Some(&[1.0][..]));
        let error = table.select(&["y"]).unwrap_err();
        assert_eq!(error.message(), "no column `y` in the header; it has: city, x");
    }
}
