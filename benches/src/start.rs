//! Time from process start to ready, memory when idle, and time of the first call of a function.

use crate::{
    arguments::Arguments,
    figures::{spread, table},
    machine,
    server::Server,
};
use anyhow::ensure;
use fabric_client::InvokeRequest;
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Returns the milliseconds of one call of `noop`, over an open connection.
async fn call(server: &Server) -> anyhow::Result<f64> {
    server.client.ready().await?;
    let began = Instant::now();
    let answer = server.client.invoke("noop", InvokeRequest::new("ping")).await?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    ensure!(answer.body.bytes(1 << 10).await? == "ping", "noop did not echo");
    Ok(took)
}

async fn ready_ms(server: &Server) -> (f64, f64) {
    // Wait until the work at startup has ended.
    tokio::time::sleep(Duration::from_secs(2)).await;
    (server.ready.as_secs_f64() * 1e3, machine::resident_mib(server.id()))
}

fn forget_artefacts(data: &Path) -> anyhow::Result<()> {
    Ok(std::fs::remove_dir_all(data.join("sandbox/artefacts"))?)
}

/// Runs the bench.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let rounds = arguments.get("rounds", 5_usize)?;
    println!("## start\n\n{}\n", machine::line());
    let mut columns: [Vec<f64>; 9] = Default::default();
    for _ in 0..rounds {
        let folder = tempfile::tempdir()?;
        let server = Server::start(arguments, folder.path()).await?;
        let (fresh, idle) = ready_ms(&server).await;
        let began = Instant::now();
        server.deploy(arguments, "noop", "").await?;
        let deploy = began.elapsed().as_secs_f64() * 1e3;
        let (first, second) = (call(&server).await?, {
            let warm = InvokeRequest::new("ping");
            let began = Instant::now();
            server.client.invoke("noop", warm).await?;
            began.elapsed().as_secs_f64() * 1e3
        });
        server.stop();
        let server = Server::start(arguments, folder.path()).await?;
        let (again, idle_again) = ready_ms(&server).await;
        let kept = call(&server).await?;
        server.stop();
        forget_artefacts(folder.path())?;
        let server = Server::start(arguments, folder.path()).await?;
        let removed = call(&server).await?;
        let after = machine::resident_mib(server.id());
        server.stop();
        for (column, value) in
            columns.iter_mut().zip([fresh, idle, deploy, first, second, again, idle_again, kept, removed])
        {
            column.push(value);
        }
        eprintln!("resident after the first call: {after:.0} MiB");
    }
    let names = [
        ("start to ready, empty folder", "ms", "≤ 300"),
        ("idle memory, empty folder", "MiB", "≤ 80"),
        ("deploy of noop (105 KB), compiled", "ms", ""),
        ("first call after the deploy", "ms", ""),
        ("second call, remembered", "ms", ""),
        ("start to ready, folder in use", "ms", "≤ 300"),
        ("idle memory, folder in use", "MiB", "≤ 80"),
        ("first call after a restart, artefact kept", "ms", ""),
        ("first call after a restart, artefact removed", "ms", ""),
    ];
    let rows: Vec<_> = names
        .iter()
        .zip(&columns)
        .map(|((name, unit, target), values)| {
            vec![(*name).to_owned(), format!("{} {unit}", spread(values)), (*target).to_owned()]
        })
        .collect();
    println!("{}", table(&["", "median (least–most)", "target"], &rows));
    Ok(())
}
