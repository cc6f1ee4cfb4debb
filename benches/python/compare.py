"""Compares calls of Python functions in Fabric's sandbox, a process pool, Dask and Ray, on one machine.

    FABRIC_BIN=…/fabric python benches/python/compare.py [--calls 10000] [--warm 200] [--only fabric,pool,dask,ray]

Needs the packages in `requirements.txt`, the client (`pip install 'clients/python[pandas,arrow]'`) and its runner. Each
system starts fresh with two workers and without a warm-up. CPU is the sum over its client and server processes. Prints
two tables: calls of a trivial function, and work with data.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import functools
import io
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas
import psutil

WORKERS = 2
SALT = time.time_ns()
"""Makes arguments differ between runs, because the results of pure functions are cached."""


BLOB = os.urandom(10_000_000)
"""What the function with a large closure uses: 10 MB."""
ROWS = 100_000
PARTS = 8
"""Partitions of the DataFrame."""


def trivial(n: int) -> int:
    return n + 1


def pick(blob: bytes, n: int) -> int:
    return blob[n % len(blob)]


def table() -> pandas.DataFrame:
    """Returns a DataFrame of 100,000 rows: a text, a whole number and a float."""
    numbers = range(ROWS)
    cities = ["Oslo", "Rome", "Lima", "Kyiv"]
    return pandas.DataFrame(
        {"city": [cities[n % 4] for n in numbers], "n": numbers, "t": [n % 97 / 3 + SALT % 7 for n in numbers]}
    )


def in_fahrenheit(frame: pandas.DataFrame) -> pandas.DataFrame:
    return frame.assign(f=frame["t"] * 9 / 5 + 32)


def rows_in_fahrenheit(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What `in_fahrenheit` does, without pandas."""
    return [{**row, "f": row["t"] * 9 / 5 + 32} for row in rows]


def pieces(frame: pandas.DataFrame) -> list[pandas.DataFrame]:
    size = -(-len(frame) // PARTS)
    return [frame.iloc[start : start + size] for start in range(0, len(frame), size)]


def seconds_of_cpu() -> float:
    """Returns the CPU seconds of this process and of all its descendants."""
    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


@dataclass
class System:
    """A system under measurement."""

    #: One call of `trivial`.
    call: Callable[[int], int]
    #: Many calls, in 64 tasks.
    map: Callable[[list[int]], Iterable[int]]
    #: Many calls, each in a task of its own.
    each: Callable[[list[int]], Iterable[int]]
    #: One call of a function with `BLOB` in its closure.
    closure: Callable[[int], int]
    #: Computes a column of a DataFrame, in `PARTS` tasks, and returns the DataFrame with it.
    frame: Callable[[pandas.DataFrame], pandas.DataFrame]


class Fabric(AbstractContextManager[System]):
    """A separate Fabric server. `deploy_s` is the time for compiling the runner, which happens once for each tenant."""

    deploy_s = 0.0

    def __enter__(self) -> System:
        import fabric_client

        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        command = [os.environ["FABRIC_BIN"], "serve", "--listen", "127.0.0.1:0", "--slots", str(WORKERS)]
        self._start(command, folder)
        fab = self._stack.enter_context(fabric_client.Fabric(data_dir=folder))
        begin = time.perf_counter()
        fab.function(trivial).remote(-1)
        type(self).deploy_s = time.perf_counter() - begin
        # The measured server has the compiled runner, but has served no call yet.
        self._stop()
        fab.close()
        begin = time.perf_counter()
        self._start(command, folder)
        self.start_s = time.perf_counter() - begin
        fab = self._stack.enter_context(fabric_client.Fabric(data_dir=folder))
        function = fab.function(trivial)
        blob = BLOB
        picked = fab.function(lambda n: blob[n % len(blob)])
        converted = fab.function(rows_in_fahrenheit)

        def frame(given: pandas.DataFrame) -> pandas.DataFrame:
            file = io.BytesIO()
            given.to_parquet(file, row_group_size=-(-len(given) // PARTS), index=False)
            fab.put("bench/frame.parquet", file.getvalue())
            found: pandas.DataFrame = converted.map(fab.dataset("bench/frame.parquet", "parquet")).to_pandas()
            return found

        return System(
            function.remote,
            lambda items: function.map(items).result(progress=False),
            lambda items: function.map(items, chunksize=1).result(progress=False),
            picked.remote,
            frame,
        )

    def _start(self, command: list[str], folder: Path) -> None:
        (folder / "server.json").unlink(missing_ok=True)
        log = self._stack.enter_context((folder / "log").open("ab"))
        self._server = subprocess.Popen([*command, "--data", folder], stdout=log, stderr=log)
        while not (folder / "server.json").exists():
            if self._server.poll() is not None:
                sys.exit((folder / "log").read_text())
            time.sleep(0.01)

    def _stop(self) -> None:
        self._server.terminate()
        self._server.wait()

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._stack.close()


class Pool(AbstractContextManager[System]):
    """`concurrent.futures.ProcessPoolExecutor` with `spawn`: from Python 3.14 on, `fork` is not the default."""

    def __enter__(self) -> System:
        import multiprocessing

        context = multiprocessing.get_context("spawn")
        self._pool = concurrent.futures.ProcessPoolExecutor(WORKERS, mp_context=context)
        pool = self._pool
        return System(
            lambda n: pool.submit(trivial, n).result(),
            lambda items: list(pool.map(trivial, items, chunksize=-(-len(items) // 64))),
            lambda items: list(pool.map(trivial, items, chunksize=1)),
            lambda n: pool.submit(functools.partial(pick, BLOB), n).result(),
            lambda given: pandas.concat(pool.map(in_fahrenheit, pieces(given))),
        )

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()


class Dask(AbstractContextManager[System]):
    """Dask's distributed scheduler with two single-threaded worker processes."""

    def __enter__(self) -> System:
        import dask.bag
        from distributed import Client, LocalCluster

        begin = time.perf_counter()
        self._cluster = LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, dashboard_address=None, silence_logs=50, memory_limit=0
        )
        self._client = Client(self._cluster)
        self.start_s = time.perf_counter() - begin
        client = self._client

        def many(items: list[int]) -> list[int]:
            bag = dask.bag.from_sequence(items, npartitions=64)
            found: list[int] = client.compute(bag.map(trivial)).result()
            return found

        blob = BLOB
        return System(
            lambda n: client.submit(trivial, n, pure=False).result(),
            many,
            lambda items: client.gather(client.map(trivial, items, pure=False)),
            lambda n: client.submit(lambda n: blob[n % len(blob)], n, pure=False).result(),
            lambda given: pandas.concat(client.gather(client.map(in_fahrenheit, pieces(given), pure=False))),
        )

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._cluster.close()


class Ray(AbstractContextManager[System]):
    """Ray on this machine. `map` splits the calls into 64 tasks, as in the other systems."""

    def __enter__(self) -> System:
        import ray

        begin = time.perf_counter()
        ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, configure_logging=False)
        self.start_s = time.perf_counter() - begin
        one = ray.remote(trivial)
        chunk = ray.remote(lambda items: [trivial(n) for n in items])

        def many(items: list[int]) -> list[int]:
            size = -(-len(items) // 64)
            parts = ray.get([chunk.remote(items[i : i + size]) for i in range(0, len(items), size)])
            return [value for part in parts for value in part]

        blob = BLOB
        picked, converted = ray.remote(lambda n: blob[n % len(blob)]), ray.remote(in_fahrenheit)
        return System(
            lambda n: ray.get(one.remote(n)),
            many,
            lambda items: ray.get([one.remote(n) for n in items]),
            lambda n: ray.get(picked.remote(n)),
            lambda given: pandas.concat(ray.get([converted.remote(piece) for piece in pieces(given)])),
        )

    def __exit__(self, *_: object) -> None:
        import ray

        ray.shutdown()


SYSTEMS: dict[str, tuple[str, type[Any]]] = {
    "fabric": ("Fabric, a fresh sandbox for each call", Fabric),
    "pool": ("ProcessPoolExecutor", Pool),
    "dask": ("Dask distributed", Dask),
    "ray": ("Ray", Ray),
}


def timed(call: Callable[[], Any]) -> tuple[float, float]:
    """Returns the seconds and the CPU seconds of a call."""
    before, begin = seconds_of_cpu(), time.perf_counter()
    call()
    return time.perf_counter() - begin, seconds_of_cpu() - before


def work_with_data(system: System, calls: int) -> list[str]:
    """Returns the cells of a system's row in the second table."""
    items = [SALT + n for n in range(2 * 10**6, 2 * 10**6 + calls)]

    def each() -> None:
        assert list(system.each(items)) == [n + 1 for n in items]

    def closure(n: int) -> None:
        assert system.closure(n) == BLOB[n]

    def frame() -> None:
        given = table()
        found = system.frame(given)
        assert found["f"].tolist() == (given["t"] * 9 / 5 + 32).tolist()

    each_s, each_cpu = timed(each)
    first_s, _ = timed(lambda: closure(0))
    later = [timed(lambda n=n: closure(n)) for n in range(1, 6)]
    frame_s, frame_cpu = timed(frame)
    return [
        f"{each_s:.2f} s",
        f"{1e3 * each_cpu / calls:.2f} ms",
        f"{1e3 * first_s:.0f} ms",
        f"{1e3 * statistics.median(wall for wall, _ in later):.0f} ms",
        f"{1e3 * statistics.mean(cpu for _, cpu in later):.0f} ms",
        f"{frame_s:.2f} s",
        f"{frame_cpu:.2f} s",
    ]


def measure(manager: Any, warm: int, calls: int, each: int) -> tuple[list[str], list[str]]:
    """Measures one system and returns the cells of its rows."""
    begin = time.perf_counter()
    with manager as system:
        start_s = getattr(manager, "start_s", time.perf_counter() - begin)
        begin = time.perf_counter()
        assert system.call(SALT) == SALT + 1
        first_s = time.perf_counter() - begin
        walls = []
        before = seconds_of_cpu()
        for n in range(1, warm + 1):
            begin = time.perf_counter()
            assert system.call(SALT + n) == SALT + n + 1
            walls.append(time.perf_counter() - begin)
        cpu = (seconds_of_cpu() - before) / warm
        items = [SALT + n for n in range(10**6, 10**6 + calls)]
        before, begin = seconds_of_cpu(), time.perf_counter()
        assert list(system.map(items)) == [n + 1 for n in items]
        map_s, map_cpu = time.perf_counter() - begin, seconds_of_cpu() - before
        begin = time.perf_counter()
        assert len(list(system.map(items))) == calls
        again_s = time.perf_counter() - begin
        data = work_with_data(system, each)
    return [
        f"{start_s:.2f} s",
        f"{1e3 * first_s:.1f} ms",
        f"{1e3 * statistics.median(walls):.2f} ms",
        f"{1e3 * cpu:.2f} ms",
        f"{map_s:.2f} s",
        f"{1e6 * map_cpu / calls:.0f} µs",
        f"{again_s:.2f} s",
    ], data


def main() -> None:
    """Measures the systems and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=10_000, help="calls by map (default 10000)")
    parser.add_argument("--each", type=int, default=2_000, help="calls in tasks of their own (default 2000)")
    parser.add_argument("--warm", type=int, default=200, help="single calls after the first (default 200)")
    parser.add_argument("--only", default=",".join(SYSTEMS), help="some of fabric, pool, dask, ray")
    args = parser.parse_args()
    wanted = args.only.split(",")
    if not set(wanted) <= SYSTEMS.keys():
        parser.error(f"--only takes some of {', '.join(SYSTEMS)}")
    program = os.environ.get("FABRIC_BIN", "")
    if "fabric" in wanted and not shutil.which(program):
        parser.error("FABRIC_BIN is not a binary; build one: cargo build --release -p fabric-cli")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    print(
        f"{version or 'fabric'} ({program}), Python {platform.python_version()}, {os.cpu_count()} CPUs, "
        f"load {os.getloadavg()[0]:.1f} before; {WORKERS} workers each; {args.calls:,} calls by map.\n"
    )
    print("| | start | first call | warm call | CPU of it | map | CPU of one of its calls | map again |")
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    for key in wanted:
        name, kind = SYSTEMS[key]
        calls, data = measure(kind(), args.warm, args.calls, args.each)
        print(f"| {name} | {' | '.join(calls)} |", flush=True)
        rows.append(f"| {name} | {' | '.join(data)} |")
    print(
        f"\n| | {args.each:,} tasks of one call | CPU of one | first call with a closure of 10 MB | later call | CPU of it "
        f"| {ROWS:,} rows in and out | CPU of it |\n|---|---|---|---|---|---|---|---|"
    )
    print("\n".join(rows))
    if Fabric.deploy_s:
        print(f"\nDeploying Fabric's Python runner took {Fabric.deploy_s:.0f} s, once for each tenant and engine.")


if __name__ == "__main__":
    main()
