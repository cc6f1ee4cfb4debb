//! Requests from many concurrent clients: one process against a fleet of three, with the clients distributed over its
//! gateways. The requests go to an http function, and to a task function by `invoke`, with a fresh instance for each.

use crate::{
    arguments::Arguments,
    figures::{short, table},
    fleet::{Fleet, Plan},
    http::HELLO,
    load::{self, Ask, Door, PERCENTS, Taken},
    machine,
    server::Server,
    services,
};

/// Number of requests that warm up the instance pools of all servers.
const WARM_UP: usize = 500;
const PROCESSES: usize = 3;

/// The times of one kind of request, and the CPU microseconds of all fabric processes.
#[derive(Default)]
struct Column {
    taken: Taken,
    cpu_us: f64,
}

fn asks() -> [(&'static str, Ask); 2] {
    [("http-hello", Ask::Get("/f/default/http-hello/", HELLO)), ("noop by invoke", Ask::Echo("noop"))]
}

fn door(server: &Server) -> Door {
    let address = server.url.trim_start_matches("http://").to_owned();
    Door { address, token: server.token.clone() }
}

/// Deploys and warms up, then measures each kind of request.
async fn measure(
    arguments: &Arguments,
    servers: &[&Server],
    cpu: impl Fn() -> f64,
    columns: &mut [Column; 2],
) -> anyhow::Result<()> {
    let (requests, clients) = sizes(arguments)?;
    if let Some(first) = servers.first() {
        first.deploy(arguments, "http-hello", "public = true").await?;
        first.deploy(arguments, "noop", "").await?;
    }
    let doors: Vec<_> = servers.iter().map(|server| door(server)).collect();
    for ((name, ask), column) in asks().iter().zip(columns) {
        load::run(&doors, ask, WARM_UP, clients, "warm").await?;
        let before = cpu();
        let taken = load::run(&doors, ask, requests, clients, "call").await?;
        column.cpu_us += cpu() - before;
        eprintln!("{name}, {} process(es): {:.0}/s", servers.len(), requests as f64 / taken.wall_s);
        column.taken.add(taken);
    }
    Ok(())
}

fn sizes(arguments: &Arguments) -> anyhow::Result<(usize, usize)> {
    Ok((arguments.get("requests", 20_000)?, arguments.get("clients", 100)?))
}

/// Runs the bench.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let ((requests, clients), rounds) = (sizes(arguments)?, arguments.get("rounds", 1_usize)?);
    let store = services::store(arguments)?;
    println!("## fleet-requests\n\n{}\n", machine::line());
    // The same share of the CPUs as under `fabric cluster up`.
    let slots = (std::thread::available_parallelism().map_or(1, usize::from) / PROCESSES).max(1);
    let plans: Vec<_> = (1..=PROCESSES).map(|n| Plan { name: format!("process-{n}"), role: "all", slots }).collect();
    let (mut one, mut three): ([Column; 2], [Column; 2]) = Default::default();
    for _ in 0..rounds {
        let folder = tempfile::tempdir_in(arguments.data()?)?;
        let server = Server::start(arguments, folder.path()).await?;
        measure(arguments, &[&server], || machine::cpu_us(server.id()), &mut one).await?;
        server.stop();
        let fleet = Fleet::start(arguments, &plans).await?;
        let gateways: Vec<_> = fleet.gateways.iter().collect();
        let own = || {
            let [own, ..] = fleet.cpu_us();
            own
        };
        measure(arguments, &gateways, own, &mut three).await?;
    }
    let [hello_one, noop_one] = &one;
    let [hello_three, noop_three] = &three;
    let columns = [hello_one, hello_three, noop_one, noop_three];
    let row = |name: String, get: &dyn Fn(&Column) -> f64| {
        std::iter::once(name).chain(columns.iter().map(|column| short(get(column)))).collect::<Vec<_>>()
    };
    let mut rows = Vec::new();
    for percent in PERCENTS {
        let name = if percent == 100 { "100% (longest), ms".to_owned() } else { format!("{percent}%, ms") };
        rows.push(row(name, &|column| column.taken.within(percent)));
    }
    rows.push(row("mean, ms".to_owned(), &|column| column.taken.mean()));
    let count = |column: &Column| column.taken.each_ms.len().max(1) as f64;
    rows.push(row("requests/s".to_owned(), &|column| count(column) / column.taken.wall_s));
    rows.push(row("CPU µs per request, all fabric processes".to_owned(), &|column| column.cpu_us / count(column)));
    println!(
        "{requests} requests from {clients} clients at once, {rounds} time(s), a new connection for each, timed from the connect \
         to the last byte. All were answered with 200 and the right body. The clients run on the same CPUs. Three processes: \
         {PROCESSES} × `--role all --slots {slots}`, the clients spread over them; their store is {store}.\n"
    );
    let head = [
        "answered within",
        "http-hello, one process",
        "http-hello, three",
        "noop by invoke, one process",
        "noop by invoke, three",
    ];
    println!("{}", table(&head, &rows));
    Ok(())
}
