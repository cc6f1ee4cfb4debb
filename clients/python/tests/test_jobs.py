"""Jobs: map, reduce, results, waiting, cancelling, failing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from proxy import Proxy
from server import Server, until

from fabric_client import (
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    AsyncFabric,
    BadRequest,
    Conflict,
    Fabric,
    FabricError,
    GuestFault,
    JobCancelled,
    NotFound,
    SettingError,
    WaitTimeout,
    as_completed,
    wait,
)

SEEDS: list[object] = [{"seed": n, "samples": 1000} for n in range(10)]


def test_a_map_gives_values_in_order(fab: Fabric) -> None:
    job = fab.function("echo").map(["a", "b", {"c": 1}, "d"])
    assert job.result() == [b"a", b"b", b'{"c":1}', b"d"]
    assert list(job) == job.result()
    assert sorted(job.results()) == list(enumerate(job.result()))
    assert job.done()
    assert job.progress.total == job.progress.succeeded == 4
    assert [task.index for task in job.tasks()] == [0, 1, 2, 3]


def test_a_reduce_gives_one_value_and_a_cost(fab: Fabric) -> None:
    job = fab.function("montecarlo-pi").map(SEEDS, reduce=4, cache=False, name="pi by tens", tags=["pi-test"])
    value = job.result()
    assert value["total"] == 10_000
    assert job.cost.fuel > 0
    assert job.cost.bytes_out > 0
    # The list is a projection, which may lag behind.
    until("it is in the list", lambda: [found.id for found in fab.jobs(tag="pi-test", limit=1)] == [job.id])
    assert fab.jobs(name="pi by tens", state="failed") == []
    assert job.info.spec.reduce is not None
    assert job.info.spec.reduce.fan_in == 4


def test_values_come_while_the_job_still_runs(fab: Fabric) -> None:
    # The last item keeps the job running until it is cancelled.
    job = fab.function("mixed").map(["quick", "also quick", "for ever"], cache=False)
    values = job.results()
    first = dict([next(values), next(values)])
    assert first == {0: b"quick", 1: b"also quick"}
    assert job.refresh().state == "running"
    with pytest.raises(WaitTimeout):
        list(job.results(0.1))
    job.cancel()
    with pytest.raises(JobCancelled):
        next(values)


def test_what_completed_of_a_failed_job_can_be_read(fab: Fabric) -> None:
    job = fab.function("mixed").map(["good", "trap"], max_attempts=1, concurrency=1)
    given: list[tuple[int, Any]] = []
    with pytest.raises(GuestFault):
        given.extend(job.results())
    assert given == [(0, b"good")]
    allowed = fab.function("mixed").map(["trap", "good", "better"], max_attempts=1, allow_failed=1)
    assert sorted(allowed.results()) == [(1, b"good"), (2, b"better")]
    assert allowed.result() == [b"good", b"better"]


def test_thousands_of_results_come_in_order(fab: Fabric) -> None:
    items = ["" if n % 7 == 0 else str(n) for n in range(3000)]
    job = fab.function("echo").map(items)
    assert job.result() == [item.encode() for item in items]


def test_a_second_run_costs_nothing(fab: Fabric) -> None:
    first = fab.function("montecarlo-pi").map(SEEDS, reduce=True).result()
    second = fab.function("montecarlo-pi").map(SEEDS, reduce=True)
    assert first == second.result()
    assert second.cost.fuel == 0
    assert second.progress.cached == second.progress.total


def test_a_key_makes_a_repeat_the_same_job(fab: Fabric) -> None:
    pi = fab.function("montecarlo-pi")
    assert pi.map(SEEDS, key="one job only").id == pi.map(SEEDS, key="one job only").id


def test_events_tell_how_it_went(fab: Fabric) -> None:
    job = fab.function("noop").map(["x", "y"], cache=False)
    kinds = [event.kind for event in job.watch()]
    assert kinds[0] == "accepted"
    assert kinds[-1] == "succeeded"
    assert job.ended


def test_a_plan_runs_nothing(fab: Fabric) -> None:
    plan = fab.function("noop").plan(["never", "run", "before"])
    assert (plan.partitions, plan.tasks, plan.cached) == (3, 3, 0)


def test_a_failure_has_its_reason_and_the_tasks_last_words(fab: Fabric) -> None:
    job = fab.function("montecarlo-pi").map([{"seed": 1}])
    with pytest.raises(GuestFault, match="missing field `samples`") as caught:
        job.result()
    assert caught.value.code == "invalid-input"
    assert caught.value.job_id == job.id
    assert any("samples" in line.message for line in caught.value.log_tail)
    assert isinstance(job.exception(), GuestFault)
    assert [letter.index for letter in job.dead_letters()] == [0]
    with pytest.raises(GuestFault):
        list(job.stream())


def test_lines_are_followed_as_they_are_written(fab: Fabric) -> None:
    pi = fab.function("montecarlo-pi")
    first = pi.map([{"seed": 101}]).wait()
    lines = fab.follow_logs(function="montecarlo-pi", since_ms=first.info.created_ms)
    while next(lines).invocation_id != first.id:
        pass
    second = pi.map([{"seed": 102}])
    while (line := next(lines)).invocation_id != second.id:
        pass
    assert "samples" in line.message
    assert [line.task for line in second.logs()] == ["0/0"]
    assert second.logs(q="samples") == second.logs()
    assert fab.logs(job=second.id, q="nothing like it") == []


def test_a_trap_in_a_task_has_a_backtrace(fab: Fabric) -> None:
    error = fab.function("trap").map(["x"], max_attempts=1).exception()
    assert isinstance(error, GuestFault)
    assert [frame.function for frame in error.backtrace] == ["innermost", "entry"]


def test_a_job_is_cancelled(fab: Fabric) -> None:
    job = fab.function("endless").map(["x"])
    assert not job.done()
    with pytest.raises(WaitTimeout, match="still"):
        job.wait(0)
    with pytest.raises(TimeoutError):
        job.result(0.5)
    assert job.cancel() is True
    with pytest.raises(JobCancelled):
        job.result()
    assert job.cancel() is False
    assert job.state == "cancelled"


def test_a_spawned_call_is_cancelled(fab: Fabric) -> None:
    call = fab.function("endless").spawn()
    assert call.cancel() is True
    with pytest.raises(JobCancelled):
        call.result(60)


def test_waiting_for_several(fab: Fabric) -> None:
    slow = fab.function("endless").map(["x"])
    quick = fab.function("noop").map(["q"])
    failing = fab.function("montecarlo-pi").map([{"seed": 1}])
    try:
        done, rest = wait([slow, quick], return_when=FIRST_COMPLETED)
        assert (done, rest) == ({quick}, {slow})
        done, rest = wait([slow, failing], return_when=FIRST_EXCEPTION)
        assert (done, rest) == ({failing}, {slow})
        assert wait([slow, quick], timeout=0).not_done == {slow}
        assert wait([quick, failing, quick]).done == {quick, failing}
        assert set(as_completed([quick, failing])) == {quick, failing}
        with pytest.raises(WaitTimeout, match="1 of 2"):
            list(as_completed([slow, quick], timeout=0.2))
        with pytest.raises(ValueError, match="ALL_COMPLETED"):
            wait([quick], return_when="soon")
        assert wait([]) == (set(), set())
    finally:
        slow.cancel()


def test_a_job_is_found_again_binned_and_restored(fab: Fabric) -> None:
    job = fab.function("echo").map(["keep"]).wait()
    found = fab.job(job.id)
    assert found.result() == [b"keep"]
    found.delete()
    assert found.refresh().info.deleted
    assert not found.restore().info.deleted
    with pytest.raises(NotFound):
        fab.job("01ARZ3NDEKTSV4RRFFQ69G5FAV")
    with pytest.raises((FabricError, NotFound)):
        fab.job("no id at all")


def test_an_audit_finds_the_same_bytes(fab: Fabric) -> None:
    job = fab.function("montecarlo-pi").map(SEEDS).wait()
    audit = job.audit(100)
    assert (audit.checked, audit.same) == (10, 10)
    running = fab.function("endless").map(["x"])
    with pytest.raises(Conflict):
        running.audit()
    running.cancel()


def test_what_can_not_be_mapped_over_is_refused(fab: Fabric) -> None:
    noop = fab.function("noop")
    for wrong in ("weather/", b"bytes", {"a": 1}, 5):
        with pytest.raises(TypeError, match="pass a list"):
            noop.map(wrong)  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="empty"):
        noop.map([])
    with pytest.raises(SettingError, match="from_items"):
        noop.map(["x" * (17 << 20)])


def test_results_as_bytes(fab: Fabric, tmp_path: Path) -> None:
    job = fab.function("echo").map(["one", "two"])
    assert b"".join(job.stream()) == b"onetwo"
    assert job.save(tmp_path / "out") == 6
    assert (tmp_path / "out").read_bytes() == b"onetwo"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_decoder_of_ones_own(fab: Fabric) -> None:
    def lengths(content: bytes, content_type: str | None) -> int:
        return len(content)

    job = fab.function("echo").map(["one", "three"], decoder=lengths)
    assert job.result() == [3, 5]


def test_versions_and_aliases(fab: Fabric) -> None:
    noop = fab.function("noop")
    assert [version.version for version in noop.versions()] == [1]
    assert noop.at(1)(b"x") == b"x"
    alias = noop.set_alias("canary", {1: 3})
    assert [(target.version, target.weight) for target in alias.targets] == [(1, 3)]
    assert noop.at("canary")(b"y") == b"y"
    assert {found.name for found in noop.aliases()} >= {"canary"}
    with pytest.raises(NotFound):
        noop.at(7)(b"z")


def test_the_async_twins(fab: Fabric) -> None:
    async def main() -> list[Any]:
        async with AsyncFabric(fab.url, fab.settings.token) as there:
            noop = await there.function("noop")
            pi = await there.function("montecarlo-pi")
            jobs = await asyncio.gather(*(pi.map([{"seed": n, "samples": 10}], reduce=True) for n in range(5)))
            totals = [(await job)["total"] for job in jobs]
            first = await asyncio.gather(*(noop(f"call {n}") for n in range(20)))
            job = await (await there.function("echo")).map(["a", "b"])
            parts = [value async for value in job]
            kinds = [event.kind async for event in job.watch()]
            whole = b"".join([chunk async for chunk in job.stream()])
            with pytest.raises(GuestFault):
                await (await there.function("trap"))()
            later = await (await noop.spawn("later"))
            await there.put("aio/x", b"stored")
            stored = await there.get("aio/x")
            (node,) = await there.nodes()
            return [totals, first, parts, kinds[-1], whole, later, stored, node.state]

    assert asyncio.run(main()) == [
        [10] * 5,
        [f"call {n}".encode() for n in range(20)],
        [b"a", b"b"],
        "succeeded",
        b"ab",
        b"later",
        b"stored",
        "ready",
    ]


def test_a_cancelled_task_leaves_its_job_running_and_its_client_usable(server: Server) -> None:
    async def main(proxy: Proxy) -> None:
        async with AsyncFabric(proxy.url, server.token, max_connections=1) as there:
            job = await (await there.function("endless")).map(["x"])
            waiting = asyncio.ensure_future(job.result())
            await asyncio.to_thread(until, "the look is under way", lambda: b"wait=" in proxy.sent)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert not (await job.refresh()).ended
            assert await job.cancel()

    with Proxy(server.url) as proxy:
        asyncio.run(main(proxy))


def test_a_sync_job_can_be_awaited(fab: Fabric) -> None:
    async def main() -> Any:
        return await fab.function("echo").map([json.dumps([1])]), await fab.function("noop").spawn("s")

    assert asyncio.run(main()) == ([b"[1]"], b"s")


def test_jobs_are_deleted_by_what_they_have_in_common(fab: Fabric) -> None:
    kept = fab.function("echo").map(["kept"], tags=["kept"]).wait()
    several = [fab.function("echo").map([str(n)], tags=["several"]).wait() for n in range(3)]
    assert fab.delete_jobs(tag="several") == 3
    assert all(job.refresh().info.deleted for job in several)
    assert not kept.refresh().info.deleted
    assert fab.delete_jobs(tag="several", deleted=True, for_good=True) == 3
    with pytest.raises(NotFound):
        fab.job(several[0].id)
    with pytest.raises(FabricError, match="every job"):
        fab.delete_jobs()
