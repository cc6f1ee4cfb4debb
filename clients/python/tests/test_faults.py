"""Server restarts, network faults, large results, interrupted waits."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from proxy import Proxy
from server import Server, until

from fabric_client import Conflict, Dataset, Fabric, FabricExecutor, Function, Job, Policy, Unreachable

#: Items that keep two slots busy for a while, with the same work in every run.
LONG: list[object] = [{"seed": n, "samples": 20_000_000} for n in range(8)]


@pytest.fixture
def pool() -> Iterator[concurrent.futures.ThreadPoolExecutor]:
    with concurrent.futures.ThreadPoolExecutor() as threads:
        yield threads


def _long_job(fab: Fabric) -> Job:
    """Starts a job and waits until at least one task runs."""
    job = fab.function("montecarlo-pi").map(LONG, reduce=True, cache=False)
    until("a task runs", lambda: job.refresh().progress.running > 0)
    assert not job.ended
    return job


def test_a_result_comes_though_the_server_was_killed(
    own_server: Server, pool: concurrent.futures.ThreadPoolExecutor
) -> None:
    with own_server.connect() as fab:
        job = _long_job(fab)
        waiting, watching = fab.job(job.id), fab.job(job.id)
        result = pool.submit(waiting.result)
        events = pool.submit(lambda: [event.kind for event in watching.watch()])
        own_server.restart()
        assert result.result()["total"] == 8 * 20_000_000
        assert events.result()[-1] == "succeeded"


def test_nobody_listens(own_server: Server) -> None:
    with own_server.connect() as fab:
        noop = fab.function("noop")
        own_server.kill()
        with pytest.raises(Unreachable, match="start one: fabric serve"):
            noop(b"x")
        with pytest.raises(ConnectionError):
            fab.whoami()


def test_who_waits_for_a_job_gives_up_when_patience_is_over(own_server: Server) -> None:
    with own_server.connect(policy=Policy(reconnect_for=0.3)) as fab:
        job = fab.function("endless").map(["x"])
        own_server.kill()
        with pytest.raises(Unreachable):
            job.wait()


def test_an_executor_waits_for_a_server_that_comes_back(own_server: Server) -> None:
    with own_server.connect() as fab, FabricExecutor(fab) as executor:
        noop = fab.function("noop")
        assert executor.submit(noop, b"before").result() == b"before"
        own_server.kill()
        during = executor.submit(noop, b"during")
        own_server.start()
        assert during.result() == b"during"


def test_a_call_that_was_under_way_when_the_server_was_killed(own_server: Server) -> None:
    with own_server.connect() as fab, FabricExecutor(fab) as executor:
        pi = fab.function("montecarlo-pi")
        call = executor.submit(pi, {"seed": 1, "samples": 200_000_000})
        until("it runs", lambda: own_server.guests() > 0)
        own_server.restart()
        assert call.result()["total"] == 200_000_000


def test_a_slow_network_only_takes_longer(server: Server) -> None:
    with Proxy(server.url, chunk=700, delay_s=0.001) as proxy, Fabric(proxy.url, server.token) as fab:
        body = os.urandom(100_000)
        fab.put("slow/body", body)
        assert fab.get("slow/body") == body
        assert fab.function("echo").map(fab.dataset("slow/body")).result() == [body]


def test_a_download_goes_on_where_it_broke(server: Server, tmp_path: Path) -> None:
    body = os.urandom(3_000_000)
    with Proxy(server.url, cut_after=600_000, cuts=3) as proxy, Fabric(proxy.url, server.token) as fab:
        fab.put("broken/body", body)
        assert fab.download("broken/body", tmp_path / "body") == len(body)
        assert (tmp_path / "body").read_bytes() == body
        assert proxy.cut == 3
        assert proxy.sent.count(b"Range: bytes=") + proxy.sent.count(b"range: bytes=") == 3


def test_a_download_of_what_changed_meanwhile_is_refused(server: Server) -> None:
    with Proxy(server.url, cut_after=200_000, cuts=1) as proxy, Fabric(proxy.url, server.token) as fab:
        fab.put("changing/body", os.urandom(2_000_000))
        chunks = fab.stream("changing/body")
        next(chunks)
        with server.connect() as other:
            other.put("changing/body", os.urandom(2_000_000))
        with pytest.raises(Conflict):
            list(chunks)


def test_a_submission_whose_answer_was_lost_makes_one_job(server: Server) -> None:
    # The first byte of the first response is already beyond the limit.
    with Proxy(server.url, cut_after=1, cuts=1) as proxy, Fabric(proxy.url, server.token) as fab:
        spec = {"function": "noop", "input": {"items": ["only", "once"]}, "tags": ["lost-answer"]}
        job = fab.submit(spec)
        assert proxy.cut == 1
        assert proxy.sent.count(b"POST /v1/jobs") == 2
        job.wait()
    with server.connect() as fab:
        # The list is a projection, which may lag behind.
        until("the job is in the list", lambda: bool(fab.jobs(tag="lost-answer")))
        assert [found.id for found in fab.jobs(tag="lost-answer")] == [job.id]


def test_a_call_whose_answer_was_lost_is_made_once(server: Server) -> None:
    with server.connect() as fab:
        before = fab.usage()
    with Proxy(server.url, cut_after=1, cuts=1) as proxy, Fabric(proxy.url, server.token) as fab:
        with server.connect() as direct:
            info = direct.function("noop").info
        assert Function(fab, info, "noop")(os.urandom(8)) != b""
        assert proxy.cut == 1
    with server.connect() as fab:
        after = fab.usage()
    assert after.total.invocations - before.total.invocations == 1


SAVE = """
import resource, sys
from fabric_client import Dataset, Fabric
fab = Fabric(sys.argv[1], sys.argv[2])
size, part = int(sys.argv[3]), 32 << 20
block = bytes(range(256)) * 4096
def chunks():
    for n in range(size // len(block)):
        yield n.to_bytes(8, "big") + block[8:]
warm = fab.function("echo")(b"warm")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fab.put("large/object", chunks())
job = fab.function("echo").map(fab.dataset("large/object", f"records:{len(block)}:{part}"))
written = job.save(sys.argv[4])
print(written, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def test_a_result_of_a_gibibyte_goes_to_a_file_in_little_memory(server: Server, tmp_path: Path) -> None:
    size = 1 << 30
    arguments = [server.url, server.token, str(size), str(tmp_path / "result")]
    ran = subprocess.run([sys.executable, "-c", SAVE, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    written, grown = map(int, ran.stdout.split())
    assert written == size
    assert grown < 64 << 20, "the client holds more than a few chunks"
    with (tmp_path / "result").open("rb") as file:
        for n in (0, 1, 511, 1023):
            file.seek(n << 20)
            assert int.from_bytes(file.read(8), "big") == n
    with server.connect() as fab:
        fab.rm("large/object")


WAIT = """
import sys
from fabric_client import Fabric
fab = Fabric(sys.argv[1], sys.argv[2])
job = fab.job(sys.argv[3])
try:
    print("waiting", flush=True)
    job.result()
except KeyboardInterrupt:
    print("interrupted", job.refresh().state)
"""


def test_an_interrupt_ends_the_wait_and_not_the_job(fab: Fabric, server: Server) -> None:
    job = fab.function("endless").map(["x"])
    until("it runs", lambda: job.refresh().state == "running")
    command = [sys.executable, "-c", textwrap.dedent(WAIT), server.url, server.token, job.id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "waiting\n"
        waiting.send_signal(signal.SIGINT)
        assert waiting.stdout.read() == "interrupted running\n"
    assert job.cancel() is True


def test_a_store_that_breaks_off_is_not_stored(fab: Fabric) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"begun"
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        fab.put("half/object", chunks())
    assert fab.stat("half/object") is None
    assert Dataset(fab, "half/").files() == []
