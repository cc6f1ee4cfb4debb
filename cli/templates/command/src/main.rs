//! A filter: reads the partition from standard input and writes the result to standard output. Parameters are
//! arguments.
//! `fabric run {{name}} --input FILE --split lines:1MiB` runs it over every partition; `cargo run < FILE` runs it
//! locally.

use std::io::{self, BufRead as _, BufWriter, Write as _};

fn main() -> io::Result<()> {
    let mut output = BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        writeln!(output, "{}", line?.to_uppercase())?;
    }
    output.flush()
}
