//! `cargo xtask demo`: starts a server, runs a job on real weather data, shows its table and its cost, and runs the job
//! again.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::folders;
use crate::outside::{cargo, output, run, without_settings};
use crate::stage::{say, stage};

const DATA: &str = "examples/data/nyc-weather-2013.csv";
const OBJECT: &str = "weather/nyc-weather-2013.csv";
/// Time limit for the server to become ready. Normally it takes a fraction of a second.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// Runs the demonstration. `--keep` keeps the data in `.fabric`.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let keep = match arguments {
        [] => false,
        [flag] if flag == "--keep" => true,
        _ => bail!("usage: cargo xtask demo [--keep]"),
    };
    stage("the weather guest", || crate::guests::build(&["weather".to_owned()]))?;
    stage("the fabric binary", || {
        run(cargo().current_dir(folders::root()).args(["build", "--package", "fabric-cli", "--bin", "fabric"]))
    })?;
    let data = if keep {
        folders::root().join(".fabric")
    } else {
        folders::target().join(format!("demo-{}", std::process::id()))
    };
    let done = show(&data);
    if keep {
        say(&format!("the server's data stays in {}", data.display()));
    } else if data.exists() {
        std::fs::remove_dir_all(&data)?;
    }
    done
}

fn show(data: &Path) -> Result<()> {
    std::fs::create_dir_all(data)?;
    let fabric = Fabric { program: folders::target().join("debug").join("fabric"), data: data.to_owned() };
    let server = stage("the server", || Server::start(&fabric))?;
    say(&format!("         it answers at {}", server.url));
    stage("deploying the module", || fabric.quiet(&["deploy", "examples/weather"]))?;
    stage("storing the data", || fabric.quiet(&["put", DATA, OBJECT]))?;
    let first = stage("the job: map 26,115 observations in sandboxes, reduce to one table", || job(&fabric, data))?;
    table(&first.result)?;
    say(&cost("the first run", &first));
    let second = stage("the same job again", || job(&fabric, data))?;
    if second.result != first.result {
        bail!("the second run returned a different result");
    }
    say(&cost("the second run", &second));
    say("the same bytes again: a pure task's result is cached under the hash of its module, input and parameters.");
    server.stop()
}

/// The binary and the data folder of its server.
struct Fabric {
    program: PathBuf,
    data: PathBuf,
}

impl Fabric {
    /// Returns a command of the client or the server. A client reads the server's address and token from the data
    /// folder.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        without_settings(&mut command);
        command.args(arguments).current_dir(folders::root()).env("FABRIC_DATA", &self.data);
        command
    }

    fn quiet(&self, arguments: &[&str]) -> Result<()> {
        run(self.command(arguments).stdout(Stdio::null()))
    }
}

/// A finished job and its result.
struct Finished {
    job: Value,
    result: Value,
    seconds: f64,
}

fn job(fabric: &Fabric, data: &Path) -> Result<Finished> {
    let file = data.join("demo-result.json");
    let start = Instant::now();
    let mut command =
        fabric.command(&["run", "weather", "--input", OBJECT, "--split", "csv:100KiB", "--reduce", "--output"]);
    // Stderr is inherited, because the progress bar is drawn there.
    run(command.arg(&file).stdout(Stdio::null()))?;
    let seconds = start.elapsed().as_secs_f64();
    let result = serde_json::from_slice(&std::fs::read(&file)?).context("the job's result is not JSON")?;
    let jobs: Value = serde_json::from_str(&output(&mut fabric.command(&["jobs", "list", "--json", "--limit", "1"]))?)?;
    // A page has its entries under `items`; a bare list is also accepted.
    let job = jobs.get("items").unwrap_or(&jobs).get(0).cloned().context("the server lists no job")?;
    Ok(Finished { job, result, seconds })
}

fn cost(which: &str, finished: &Finished) -> String {
    let number = |path: &str| finished.job.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    format!(
        "{which}: {} tasks, {} of them from the cache; {} units of fuel, {:.1} ms in the guests, {} KiB read; {:.2} s in all",
        number("/tasks/total"),
        number("/tasks/cached"),
        grouped(number("/cost/fuel")),
        number("/cost/guest_us") as f64 / 1e3,
        number("/cost/bytes_in") / 1024,
        finished.seconds,
    )
}

/// Formats 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes the temperature, the wind and the rain by station and month.
fn table(result: &Value) -> Result<()> {
    let stations = result.get("stations").and_then(Value::as_object).context("the result has no stations")?;
    let mut text = String::from("\nstation  month    readings  mean °F    min    max  mean mph  inches of rain\n");
    for (station, months) in stations {
        for (month, measures) in months.as_object().into_iter().flatten() {
            let value = |measure: &str, of: &str| {
                measures.pointer(&format!("/{measure}/{of}")).and_then(Value::as_f64).unwrap_or(f64::NAN)
            };
            let rain = measures.pointer("/precip/sum").and_then(Value::as_str).unwrap_or("?");
            text.push_str(&format!(
                "{station:<7}  {month}  {:>8}  {:>7.2}  {:>5.1}  {:>5.1}  {:>8.2}  {rain:>14}\n",
                value("temp", "count"),
                value("temp", "mean"),
                value("temp", "min"),
                value("temp", "max"),
                value("wind_speed", "mean"),
            ));
        }
    }
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// A running server, stopped when dropped.
struct Server {
    process: Child,
    url: String,
}

impl Server {
    fn start(fabric: &Fabric) -> Result<Self> {
        let about = fabric.data.join("server.json");
        if about.exists() {
            std::fs::remove_file(&about)?;
        }
        let log = std::fs::File::create(fabric.data.join("demo-server.log"))?;
        let data = fabric.data.to_string_lossy().into_owned();
        let process = fabric
            .command(&["serve", "--listen", "127.0.0.1:0", "--data", &data])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("could not start the server")?;
        let mut server = Self { process, url: String::new() };
        let start = Instant::now();
        while start.elapsed() < READY_LIMIT {
            if let Some(status) = server.process.try_wait()? {
                bail!("the server ended at once ({status}):\n{}", server_log(fabric));
            }
            if let Some(url) = address(&about)
                && is_ready(&url)
            {
                server.url = url;
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the server did not answer within {} s:\n{}", READY_LIMIT.as_secs(), server_log(fabric));
    }

    fn stop(mut self) -> Result<()> {
        // A server shuts down in order on SIGTERM. The program `kill` sends it without unsafe code here.
        let id = self.process.id().to_string();
        if run(Command::new("kill").args(["-TERM", &id])).is_ok() {
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(10) {
                if let Some(status) = self.process.try_wait()? {
                    say(&format!("xtask: the server stopped ({status})"));
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        bail!("the server did not stop within 10 s of SIGTERM")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn server_log(fabric: &Fabric) -> String {
    std::fs::read_to_string(fabric.data.join("demo-server.log")).unwrap_or_default()
}

/// Reads the URL that the server writes once it listens.
fn address(about: &Path) -> Option<String> {
    let about: Value = serde_json::from_slice(&std::fs::read(about).ok()?).ok()?;
    Some(about.get("url")?.as_str()?.to_owned())
}

fn is_ready(url: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let host = url.trim_start_matches("http://").trim_end_matches('/');
        let mut stream = TcpStream::connect(host)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        write!(stream, "GET /readyz HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn big_numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1234567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
