//! Fills its volume at `/data`: runs the command from standard input, and prints its progress and the WASI error
//! number. A volume over its tenant's quota accepts no more data.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    time::Duration,
};

const PIECE: usize = 64 * 1024;

fn number(error: &std::io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |number| number.to_string())
}

fn fill(mut file: File, most: u64) -> String {
    let piece = vec![7; PIECE];
    for n in 0..most {
        if let Err(error) = file.write_all(&piece).and_then(|()| file.flush()) {
            return format!("{n} pieces, error {}", number(&error));
        }
    }
    format!("{most} pieces")
}

fn done(result: std::io::Result<()>) -> String {
    result.map_or_else(|error| format!("error {}", number(&error)), |()| "done".to_owned())
}

/// Opens one file repeatedly and holds the handles for 3 s.
fn open(most: usize) -> String {
    let _ = File::create("/data/one");
    let mut held = Vec::new();
    let mut answer = format!("{most} open");
    while held.len() < most {
        match File::open("/data/one") {
            Ok(file) => held.push(file),
            Err(error) => {
                answer = format!("{} open, error {}", held.len(), number(&error));
                break;
            }
        }
    }
    std::thread::sleep(Duration::from_secs(3));
    answer
}

/// Writes files of 1 MiB that it removes and keeps open. After an error it waits for the host's next measurement.
fn ghosts(most: usize) -> String {
    let mut held = Vec::new();
    let mut tries = 0;
    while held.len() < most {
        let written = File::create("/data/ghost").and_then(|mut file| {
            file.write_all(&[7; 1 << 20])?;
            file.flush()?;
            Ok(file)
        });
        let _ = std::fs::remove_file("/data/ghost");
        match written {
            Ok(file) => held.push(file),
            Err(_) if tries < 2 => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(2500));
            }
            Err(error) => return format!("{} ghosts, error {}", held.len(), number(&error)),
        }
    }
    format!("{most} ghosts")
}

fn main() {
    let mut what = String::new();
    let _ = std::io::stdin().read_to_string(&mut what);
    let mut append = OpenOptions::new();
    append.append(true).create(true);
    let answer = match what.split_once(' ').unwrap_or((&what, "1")) {
        ("fill", most) => fill(File::create("/data/file").unwrap(), most.parse().unwrap()),
        ("append", most) => fill(append.open("/data/file").unwrap(), most.parse().unwrap()),
        ("grow", _) => done(File::create("/data/grown").and_then(|file| file.set_len(1 << 40))),
        ("files", most) => {
            let most: u64 = most.parse().unwrap();
            let failed = (0..most).find_map(|n| File::create(format!("/data/{n}")).err().map(|error| (n, error)));
            failed.map_or_else(|| format!("{most} files"), |(n, error)| format!("{n} files, error {}", number(&error)))
        }
        ("open", most) => open(most.parse().unwrap()),
        ("ghosts", most) => ghosts(most.parse().unwrap()),
        ("remove", _) => done(std::fs::remove_file("/data/file")),
        _ => "what?".to_owned(),
    };
    print!("{answer}");
}
