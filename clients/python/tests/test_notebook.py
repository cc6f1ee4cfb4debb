"""Notebooks: cards, magics, live cards, interrupts, restarts, in real kernels."""

from __future__ import annotations

import html.parser
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from server import PATIENCE, Server, until

from fabric_client import Fabric, GuestFault, WaitTimeout
from fabric_client.config import Settings
from fabric_client.notebook import html as cards
from fabric_client.notebook import magic
from fabric_client.wire import function as function_wire
from fabric_client.wire import invocation as invocation_wire
from fabric_client.wire import job as job_wire
from fabric_client.wire import node as node_wire
from fabric_client.wire.problem import Fault

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[2J\u202e"


class Tags(html.parser.HTMLParser):
    """Collects the elements and attributes of a text, and checks that all elements are closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def _hostile() -> dict[str, str]:
    fault = Fault(EVIL, EVIL, EVIL)
    counts = job_wire.TaskCounts(total=1000, waiting=1, running=1, succeeded=997, cached=400, failed=1, retries=3)
    spec = job_wire.JobSpec(function=EVIL, input={})
    cost = job_wire.Cost(10**12, 5_000_000, 1 << 30, 17)
    job = job_wire.Job(
        EVIL, EVIL, EVIL, 1, EVIL, EVIL, EVIL, counts, cost, (EVIL,), 0, 0, 0, 0, spec, waiting=EVIL, error=fault
    )
    call = invocation_wire.Invocation(EVIL, EVIL, 1, EVIL, 0, 1, True, 7, 5, 1, EVIL, EVIL, fault)
    entry = function_wire.Entry(EVIL, True, True, True)
    function = function_wire.FunctionSummary(EVIL, EVIL, (EVIL,), True, entry, 1, (), 0)
    node = node_wire.Node(
        EVIL, EVIL, EVIL, EVIL, 1, 1, 1, 1, 1, 1, {EVIL: EVIL}, 0, 0, gpus=1, gpu_model=EVIL, accepts=(EVIL,), url=EVIL
    )
    gpu = node_wire.GpuAdapter(EVIL, EVIL, EVIL, EVIL, 1, 1, 1, 1, True, True, 1)
    return {
        "job": cards.job_card(job),
        "waiting": cards.job_card(replace(job, error=None)),
        "call": cards.invocation_card(call),
        "function": cards.function_card(function, EVIL),
        "data set": cards.dataset_card(EVIL, EVIL),
        "fabric": cards.fabric_card(Settings("http://x/" + EVIL, "secret-token", EVIL)),
        "nodes": cards.node_table([node, replace(node, gpu=gpu)]),
    }


@pytest.mark.parametrize(("name", "card"), _hostile().items(), ids=_hostile())
def test_what_a_server_says_is_text_and_nothing_else(name: str, card: str) -> None:
    seen = Tags(card)
    assert seen.open == []
    assert seen.tags <= {"div", "span", "b", "strong", "i", "table", "tr", "th", "td"}
    assert seen.attributes <= {"style", "class", "role", "aria-valuenow", "aria-valuemin", "aria-valuemax"}
    assert "<script>" in seen.text
    assert not set("\x1b\u202e") & set(card)
    assert "secret-token" not in card
    assert "url(" not in card


def test_a_card_reads_well_where_styles_are_taken_away() -> None:
    counts = job_wire.TaskCounts(total=4, waiting=0, running=0, succeeded=4, cached=1, failed=0, retries=0)
    spec = job_wire.JobSpec(function="f", input={})
    cost = job_wire.Cost(2_000_000, 1500, 2048, 17)
    job = job_wire.Job("01J", "words", "f", 3, "me", "succeeded", "", counts, cost, (), 0, 0, 0, 0, spec)
    entry = function_wire.Entry("task", True, False, False)
    function = function_wire.FunctionSummary("f", "", ("a", "b"), False, entry, 1, (), 0)
    assert Tags(cards.job_card(job)).text.startswith(
        "job words · f@3 · 01J · succeededdone 3 · cached 1tasks 4 of 4 · fuel"
    )
    assert Tags(cards.function_card(function, "f")).text.startswith("function fkind task · can call · newest v1")


def test_handles_show_themselves(fab: Fabric) -> None:
    job = fab.function("montecarlo-pi").map([{"seed": n, "samples": 100} for n in range(3)], name="a card's job")
    job.wait()
    text = Tags(job._repr_html_()).text
    assert "a card's job" in text
    assert "3 of 3" in text
    assert "succeeded" in text
    things: list[Any] = [fab, fab.function("noop"), fab.dataset("x/"), fab.nodes(), fab.nodes()[0]]
    things.append(fab.function("noop").spawn("x").wait())
    for thing in things:
        assert Tags(thing._repr_html_()).open == []
        assert repr(thing)


@pytest.fixture
def shell(fab: Fabric) -> Iterator[InteractiveShell]:
    made = InteractiveShell()
    made.run_line_magic("load_ext", "fabric_client")
    made.user_ns["fab"] = fab
    yield made
    made.history_manager.end_session()  # type: ignore[union-attr]
    made.run_line_magic("unload_ext", "fabric_client")


def test_the_magic_calls_and_maps(shell: InteractiveShell, fab: Fabric) -> None:
    counts = shell.run_cell_magic("fabric", "wordcount", "to be or not to be\n")
    assert counts["words"]["be"] == 2
    value = shell.run_cell_magic(
        "fabric", "montecarlo-pi --each --reduce", '{"seed":1,"samples":5}\n{"seed":2,"samples":6}'
    )
    assert value["total"] == 11
    fab.put("magic/a.txt", "x y\n")
    assert shell.run_line_magic("fabric", "wordcount --input magic/ --split lines --reduce --out kept") is None
    assert shell.user_ns["kept"]["total"] == 2
    shell.run_line_magic("fabric", "wordcount -i magic/ --detach --name 'by magic' -p emit=false --out job")
    assert shell.user_ns["job"].name == "by magic"
    assert shell.user_ns["job"].result()[0]["total"] == 2
    with pytest.raises(GuestFault):
        shell.run_cell_magic("fabric", "trap", "x")


@pytest.mark.parametrize(
    ("line", "cell", "says"),
    [
        ("", "x", "required: function"),
        ("noop --nonsense", "x", "unrecognized"),
        ("noop --param x", "x", "NAME=VALUE"),
        ("noop --reduce", "x", "--reduce needs"),
        ("noop --input a/", "text", "leave the cell empty"),
        ("noop --out 'not a name'", "x", "variable"),
        ("noop 'unclosed", "x", "quotation"),
    ],
)
def test_a_wrong_line_says_what_to_do(shell: InteractiveShell, line: str, cell: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        shell.run_cell_magic("fabric", line, cell)


class Kernel:
    """An IPython kernel in its own process."""

    def __init__(self, server: Server) -> None:
        self.manager = KernelManager()
        self.manager.start_kernel(env=server.environment() | {"FABRIC_DATA": str(server.data)})
        self.client: BlockingKernelClient = self.manager.blocking_client()
        self._connect()

    def _connect(self) -> None:
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)

    def restart(self) -> None:
        self.manager.restart_kernel(now=True)
        self.client.wait_for_ready(timeout=PATIENCE)

    def run(self, code: str) -> list[dict[str, Any]]:
        """Executes a cell to completion and returns its messages."""
        sent: list[dict[str, Any]] = []
        self.client.execute_interactive(code, timeout=PATIENCE, output_hook=sent.append)
        return sent

    def text(self, code: str) -> str:
        """Returns the output of a cell."""
        sent = self.run(code)
        assert not [m for m in sent if m["msg_type"] == "error"], sent
        return "".join(
            m["content"]["text"] for m in sent if m["msg_type"] == "stream" and m["content"]["name"] == "stdout"
        )

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture
def kernel(server: Server) -> Iterator[Kernel]:
    made = Kernel(server)
    yield made
    made.close()


SETUP = "from fabric_client import Fabric\nfab = Fabric()\n"


def test_a_restarted_kernel_picks_its_job_up_again(kernel: Kernel) -> None:
    items = [{"seed": n, "samples": 20_000_000} for n in range(4)]
    job = kernel.text(SETUP + f"print(fab.function('montecarlo-pi').map({items}, reduce=True, cache=False).id)").strip()
    kernel.restart()
    assert kernel.text(SETUP + f"print(fab.job({job!r}).result()['total'])") == "80000000\n"


def test_an_interrupted_cell_leaves_the_job_running(kernel: Kernel, fab: Fabric) -> None:
    job = fab.function("endless").map(["x"])
    until("it runs", lambda: job.refresh().state == "running")
    kernel.text(SETUP)
    waiting = kernel.client.execute(f"print('waiting', flush=True)\nfab.job({job.id!r}).result(progress=False)")
    seen: list[dict[str, Any]] = []
    while not any(m["msg_type"] == "status" and m["content"]["execution_state"] == "idle" for m in seen[-1:]):
        message = kernel.client.get_iopub_msg(timeout=PATIENCE)
        if message["parent_header"].get("msg_id") != waiting:
            continue
        seen.append(message)
        if message["msg_type"] == "stream" and "waiting" in message["content"]["text"]:
            kernel.manager.interrupt_kernel()
    (error,) = (m["content"] for m in seen if m["msg_type"] == "error")
    assert error["ename"] == "KeyboardInterrupt"
    assert kernel.text(f"print(fab.job({job.id!r}).state)") == "running\n"
    assert job.cancel() is True


def test_a_card_moves_while_its_job_does(kernel: Kernel, fab: Fabric) -> None:
    kernel.text(SETUP)
    job = fab.job(kernel.text("job = fab.function('endless').map(['x'])\nprint(job.id)").strip())
    sent = kernel.run("job")
    (shown,) = (m["content"] for m in sent if m["msg_type"] == "display_data")
    assert "fabric-card" in shown["data"]["text/html"]
    # Read here, since `Kernel.run` drops messages of other cells.
    assert job.cancel()
    while True:
        message = kernel.client.get_iopub_msg(timeout=PATIENCE)
        if message["msg_type"] == "update_display_data" and "cancelled" in message["content"]["data"]["text/html"]:
            break
    assert message["content"]["transient"] == shown["transient"]


def test_a_cell_may_await_a_job(kernel: Kernel) -> None:
    kernel.text(SETUP)
    assert kernel.text("print(await fab.function('echo').map(['a', 'b']))") == "[b'a', b'b']\n"


def test_who_waits_in_a_cell_sees_the_jobs_card(kernel: Kernel, fab: Fabric) -> None:
    kernel.text(SETUP)
    job = fab.function("endless").map(["x"], name="waited for")
    waiting = kernel.client.execute(f"print(fab.job({job.id!r}).exception())")
    seen: list[dict[str, Any]] = []
    while not any(m["msg_type"] == "stream" for m in seen[-1:]):
        message = kernel.client.get_iopub_msg(timeout=PATIENCE)
        if message["parent_header"].get("msg_id") == waiting:
            seen.append(message)
            if message["msg_type"] == "display_data":
                assert "waited for" in message["content"]["data"]["text/html"]
                job.cancel()
    updates = [m["content"]["data"]["text/html"] for m in seen if m["msg_type"] == "update_display_data"]
    assert "cancelled" in updates[-1]
    assert "was cancelled" in seen[-1]["content"]["text"]


@pytest.mark.parametrize(
    "wait",
    ["job = fab.job({!r})\njob.exception()\njob", "job = await AsyncFabric().job({!r})\nawait job.wait()"],
    ids=["sync", "async"],
)
def test_a_cell_that_has_waited_shows_one_card(kernel: Kernel, fab: Fabric, wait: str) -> None:
    kernel.text(SETUP + "from fabric_client import AsyncFabric")
    job = fab.function("endless").map(["x"])
    waiting = kernel.client.execute(wait.format(job.id))
    seen: list[str] = []
    while "idle" not in seen:
        message = kernel.client.get_iopub_msg(timeout=PATIENCE)
        if message["parent_header"].get("msg_id") == waiting:
            seen.append(message["content"].get("execution_state", message["msg_type"]))
            if message["msg_type"] == "display_data":
                job.cancel()
    assert [kind for kind in seen if kind in ("display_data", "execute_result")] == ["display_data"]
    assert [m["msg_type"] for m in kernel.run("job")].count("display_data") == 1


def test_a_bar_on_a_terminal(fab: Fabric, capsys: pytest.CaptureFixture[str]) -> None:
    job = fab.function("endless").map(["x"], name="a bar's job")
    with pytest.raises(WaitTimeout):
        job.wait(2, progress=True)
    job.cancel()
    assert "a bar's job" in capsys.readouterr().err


def test_only_line_feeds_end_an_item_of_a_cell() -> None:
    assert magic.items('a\u2028b\r\n\n{"x": "\u0085"}\nNaN\n[1, NaN]\n') == [
        "a\u2028b",
        {"x": "\u0085"},
        "NaN",
        "[1, NaN]",
    ]
