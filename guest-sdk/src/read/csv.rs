//! CSV rows as typed values, matched by the names in the header.

use serde::de::DeserializeOwned;

use crate::input::{FromInput, Input};
use crate::{Error, Result};

/// Rows of a CSV with a header line, each deserialized into a `T` by column names. Supports quotes, embedded commas and
/// line breaks, and lines that end with `\n`, `\r\n` or `\r`. Empty lines and columns that `T` does not name are
/// skipped. The splitter `csv` has the same grammar.
///
/// An iterator over `Result<T>`:
/// ```
/// use fabric::Csv;
/// #[derive(serde::Deserialize)]
/// struct Row { city: String, temp: Option<f64> }
/// let rows: Vec<Row> = Csv::from_text("city,temp\nOslo,1.5\n\"Bergen, W\",\n").collect::<Result<_, _>>()?;
/// assert_eq!(rows[1].city, "Bergen, W");
/// assert_eq!(rows[1].temp, None);
/// # Ok::<(), fabric::Error>(())
/// ```
#[derive(Debug)]
pub struct Csv<T> {
    reader: csv::Reader<Input>,
    header: csv::StringRecord,
    record: csv::StringRecord,
    row: u64,
    of: std::marker::PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Csv<T> {
    /// Creates a reader of a text, for tests. An invalid header is reported as the first row's error.
    pub fn from_text(text: impl AsRef<[u8]>) -> Self {
        Self::over(Input::from_bytes(text.as_ref()), b',')
    }

    /// Creates a reader of an input with fields separated by `delimiter`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidInput`] if the header is not UTF-8.
    pub fn new(input: Input, delimiter: u8) -> Result<Self> {
        let mut rows = Self::over(input, delimiter);
        rows.read_header()?;
        Ok(rows)
    }

    fn over(input: Input, delimiter: u8) -> Self {
        // The input is already buffered: this small buffer only avoids calls per byte.
        let reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .buffer_capacity(32 * 1024)
            .has_headers(true)
            .from_reader(input);
        Self {
            reader,
            header: csv::StringRecord::new(),
            record: csv::StringRecord::new(),
            row: 0,
            of: std::marker::PhantomData,
        }
    }

    fn read_header(&mut self) -> Result<()> {
        self.header =
            self.reader.headers().map_err(|error| Error::invalid_input(format!("the header: {error}")))?.clone();
        Ok(())
    }

    /// Returns the column names.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidInput`] if the header is not UTF-8.
    pub fn header(&mut self) -> Result<Vec<String>> {
        if self.header.is_empty() {
            self.read_header()?;
        }
        Ok(self.header.iter().map(str::to_owned).collect())
    }

    fn next_row(&mut self) -> Result<Option<T>> {
        if self.header.is_empty() {
            self.read_header()?;
        }
        self.row += 1;
        // The message of the `csv` crate has the line and the field; users need the row.
        let row = self.row;
        let wrong = |error: csv::Error| Error::invalid_input(format!("row {row} of the partition: {error}"));
        if !self.reader.read_record(&mut self.record).map_err(wrong)? {
            return Ok(None);
        }
        self.record.deserialize(Some(&self.header)).map(Some).map_err(wrong)
    }
}

impl<T: DeserializeOwned> Iterator for Csv<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_row().transpose()
    }
}

impl<T: DeserializeOwned> FromInput for Csv<T> {
    fn from_input(input: Input) -> Result<Self> {
        Self::new(input, b',')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Row {
        name: String,
        count: u32,
        note: Option<String>,
    }

    fn row(name: &str, count: u32, note: Option<&str>) -> Row {
        Row { name: name.into(), count, note: note.map(Into::into) }
    }

    #[test]
    fn quotes_line_ends_and_extra_columns_at_every_chunk_size() {
        let text = "extra,name,count,note\r\n1,\"a, \"\"b\"\"\",2,\r\n2,\"two\nlines\",3,x\r\n3,ü,4,\"\"";
        let expected = [row("a, \"b\"", 2, None), row("two\nlines", 3, Some("x")), row("ü", 4, None)];
        for chunk in 1..=text.len() {
            let rows = Csv::<Row>::new(Input::from_bytes_in_chunks(text, chunk), b',').unwrap();
            assert_eq!(rows.collect::<Result<Vec<_>>>().unwrap(), expected, "chunks of {chunk}");
        }
    }

    #[test]
    fn no_rows_without_a_row() {
        assert_eq!(Csv::<Row>::from_text("").count(), 0);
        assert_eq!(Csv::<Row>::from_text("name,count,note\n").count(), 0);
    }

    #[test]
    fn a_wrong_field_names_its_row() {
        let mut rows = Csv::<Row>::from_text("name,count,note\na,1,\nb,many,\nc,3,\n");
        assert_eq!(rows.next().unwrap().unwrap(), row("a", 1, None));
        let error = rows.next().unwrap().unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::InvalidInput);
        assert!(error.message().starts_with("row 2 of the partition: "), "{error}");
        assert_eq!(rows.next().unwrap().unwrap(), row("c", 3, None), "the rows after it can still be read");
    }

    #[test]
    fn a_row_of_another_length_and_bad_utf8_are_bad_input() {
        let mut rows = Csv::<Row>::from_text("name,count,note\na,1\n");
        assert_eq!(rows.next().unwrap().unwrap_err().kind(), crate::ErrorKind::InvalidInput);
        let mut rows = Csv::<Row>::from_text(b"name,count,note\n\xff,1,\n");
        assert_eq!(rows.next().unwrap().unwrap_err().kind(), crate::ErrorKind::InvalidInput);
    }
}
