"""The client's logic without a network: retries, events, and unusual responses."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from fabric_client import Conflict, FabricError, GuestFault, Policy, ProtocolError, Unavailable, Unreachable
from fabric_client.api import follow
from fabric_client.codec import decode
from fabric_client.errors import kind_of
from fabric_client.request import address, call, get, post
from fabric_client.sse import EVENT_LIMIT, Event, Parser
from fabric_client.steps import Answer, Close, Emit, Open, Pause, Plan, Read, Request
from fabric_client.text import bytes_text, count_text, duration_text, printable
from fabric_client.wire.function import AliasTarget
from fabric_client.wire.problem import Frame

POLICY = Policy(attempts=3, reconnect_for=10.0)
OK = (200, b'{"version": 1, "weight": 2}')


def problem(status: int, code: str) -> tuple[int, bytes]:
    return status, json.dumps({"title": code, "status": status, "detail": "…", "code": code}).encode()


class Network:
    """A fake network with one response per request: a status and a body, or an exception."""

    def __init__(self, *answers: tuple[int, bytes] | Exception, headers: dict[str, str] | None = None) -> None:
        self._answers = list(answers)
        self._headers = headers or {}
        self.requests: list[Request] = []
        self.pauses: list[float] = []
        self.values: list[Any] = []

    def run(self, plan: Any) -> Any:
        step: Callable[[], Any] = lambda: next(plan)  # noqa: E731
        try:
            while True:
                asked = step()
                try:
                    reply = self._do(asked)
                except FabricError as error:
                    step = lambda error=error: plan.throw(error)  # noqa: E731
                else:
                    step = lambda reply=reply: plan.send(reply)  # noqa: E731
        except StopIteration as stop:
            return stop.value

    def _do(self, step: Any) -> Any:
        if isinstance(step, Open):
            self.requests.append(step.request)
            answer = self._answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return Answer(answer[0], dict(self._headers), handle=[answer[1]])
        if isinstance(step, Read):
            body = step.answer.handle.pop(0) if step.answer.handle else b""
            if isinstance(body, Exception):
                raise body
            return body
        if isinstance(step, Pause):
            self.pauses.append(step.seconds)
        elif isinstance(step, Emit):
            self.values.append(step.value)
        else:
            assert isinstance(step, Close)
        return None


def target(request: Request) -> Plan[AliasTarget]:
    return call(request, POLICY, AliasTarget)


def refused() -> Unreachable:
    error = Unreachable("refused", code="unreachable")
    error.refused = True
    return error


def test_a_request_that_may_be_repeated_is_sent_again() -> None:
    network = Network(problem(503, "unavailable"), Unreachable("broke", code="unreachable"), OK)
    assert network.run(target(get("x"))) == AliasTarget(1, 2)
    assert len(network.requests) == 3
    assert len(network.pauses) == 2


def test_repeats_have_an_end_and_the_last_error_is_told() -> None:
    network = Network(*[problem(429, "too-many-requests")] * 3)
    with pytest.raises(Unavailable):
        network.run(target(get("x")))
    assert len(network.requests) == 3


def test_every_post_carries_the_same_key_at_each_try() -> None:
    network = Network(problem(503, "unavailable"), OK)
    network.run(target(post("x", body={})))
    keys = [dict(request.headers)["idempotency-key"] for request in network.requests]
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert len(keys[0]) == 32


@pytest.mark.parametrize("code", ["not-found", "function-retryable", "internal", "out-of-fuel", "conflict"])
def test_what_would_fail_again_is_not_repeated(code: str) -> None:
    network = Network(problem(422, code), OK)
    with pytest.raises(FabricError) as caught:
        network.run(target(get("x")))
    assert caught.value.code == code
    assert len(network.requests) == 1


def test_a_request_that_can_not_be_repeated_is_sent_once() -> None:
    network = Network(problem(503, "unavailable"), OK)
    with pytest.raises(Unavailable):
        network.run(target(Request("POST", address("x"))))
    assert len(network.requests) == 1


def test_where_nobody_listens_only_the_patient_wait() -> None:
    network = Network(refused(), OK)
    with pytest.raises(Unreachable):
        network.run(target(get("x")))
    patient = Network(*[refused() for _ in range(8)], OK)
    request = get("x")
    assert patient.run(target(Request(**{**request.__dict__, "patient": True}))) == AliasTarget(1, 2)


def test_the_servers_pause_counts_within_bounds() -> None:
    network = Network(problem(429, "too-many-requests"), OK, headers={"retry-after": "7"})
    network.run(target(get("x")))
    assert network.pauses == [7.0]
    assert Policy().pause(0, 9999) == 30.0
    assert 0.01 <= Policy().pause(40, None) <= 5.0


def test_a_key_that_is_under_way_is_waited_for() -> None:
    network = Network(problem(409, "conflict"), OK, headers={"retry-after": "5"})
    assert network.run(target(post("x", body={}))) == AliasTarget(1, 2)
    assert network.pauses == [5.0]
    hopeless = Network(problem(409, "conflict"), OK)
    with pytest.raises(Conflict):
        hopeless.run(target(post("x", body={})))


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'{"version": "1", "weight": 2}', b'{"version": 1}', b"\xff", b"[" * 100_000],
)
def test_an_answer_of_another_shape_is_named(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="unexpected response"):
        Network((200, body)).run(target(get("x")))


def test_an_answer_without_an_end_is_cut_off() -> None:
    class Endless(Network):
        def _do(self, step: Any) -> Any:
            return b"[" * (1 << 20) if isinstance(step, Read) else super()._do(step)

    with pytest.raises(ProtocolError, match="larger than"):
        Endless((200, b"")).run(target(get("x")))
    with pytest.raises(FabricError) as caught:
        Endless((500, b"")).run(target(get("x")))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("status", "code"), [(401, "unauthenticated"), (404, "not-found"), (502, "unavailable"), (500, "internal")]
)
def test_an_error_that_is_no_problem_document_is_read_by_its_status(status: int, code: str) -> None:
    network = Network(*[(status, b"<h1>nginx</h1>")] * 3)
    with pytest.raises(FabricError, match="nginx") as caught:
        network.run(target(get("x")))
    assert caught.value.code == code


def test_a_redirect_is_no_answer() -> None:
    with pytest.raises(ProtocolError, match="302"):
        Network((302, b"")).run(target(get("x")))


STREAM = (
    b'\xef\xbb\xbf: hello\nevent: started\nid: 1\ndata: {"a":1}\n\n: keep alive\n\nid: 2\r\ndata: x\r\ndata:  y\r\n\r\n'
    b"event: no-data\n\ndata\n\nevent: cut\ndata: off"
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(STREAM)])
def test_events_are_read_wherever_the_bytes_are_cut(size: int) -> None:
    parser = Parser()
    found = [event for at in range(0, len(STREAM), size) for event in parser.feed(STREAM[at : at + size])]
    assert found == [Event("started", '{"a":1}', "1"), Event("message", "x\n y", "2"), Event("message", "", "2")]
    assert parser.last_id == "2"


def test_an_endless_event_is_refused() -> None:
    with pytest.raises(ProtocolError, match="longer than"):
        Parser().feed(b"x" * (EVENT_LIMIT + 1))
    lines = (b"data: " + b"x" * 1000 + b"\n") * (2 * EVENT_LIMIT // 1000)
    with pytest.raises(ProtocolError, match="longer than"):
        Parser().feed(lines)
    parser = Parser()
    for _ in range(4):
        assert parser.feed(b"x" * (EVENT_LIMIT // 4)) == []
    with pytest.raises(ProtocolError, match="longer than"):
        parser.feed(b"x")


def event(seq: int, state: str) -> bytes:
    counts = dict.fromkeys(["total", "waiting", "running", "succeeded", "cached", "failed", "retries"], 0)
    cost = dict.fromkeys(["fuel", "guest_us", "bytes_in", "bytes_out"], 0)
    body = {"seq": seq, "at_ms": 0, "kind": "progress", "state": state, "remark": "", "tasks": counts, "cost": cost}
    return f"id: {seq}\ndata: {json.dumps(body)}\n\n".encode()


def test_a_stream_that_breaks_goes_on_behind_its_last_event() -> None:
    network = Network((200, event(7, "running")), refused(), (200, event(8, "succeeded")))
    network.run(follow.job_events(POLICY, "j", None))
    assert [value.seq for value in network.values] == [7, 8]
    assert [dict(request.headers).get("last-event-id") for request in network.requests] == [None, "7", "7"]


def test_text_of_others_is_made_harmless() -> None:
    assert printable("a\x1b[31mb\r\n\tc\u202e") == "a\ufffd[31mb\ufffd\n\tc\ufffd"
    assert printable("x" * 10, 4) == "xxxx…"
    error = GuestFault("\x1b]0;pwned\x07", code="guest-exit", backtrace=[Frame("\x1b[2J", "m", "l")])
    assert "\x1b" not in str(error)


def test_errors_survive_pickling() -> None:
    error = kind_of("deadline")("late", code="deadline", hint="wait", backtrace=[Frame("f")], fuel=7)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.fuel) == (type(error), str(error), 7)


def test_results_are_what_their_media_type_says() -> None:
    assert decode(b'{"a": 1}', "application/json; charset=utf-8") == {"a": 1}
    assert decode(b"1\n[2]\n\n", "application/x-ndjson") == [1, [2]]
    assert decode("ü".encode(), "text/plain; charset=utf-8") == "ü"
    assert decode(b"\x80", "application/octet-stream") == decode(b"\x80", None) == b"\x80"
    for wrong in (b"{", b"[" * 100_000, b"\xff"):
        with pytest.raises(ProtocolError, match="is not valid"):
            decode(wrong, "application/json")


def test_figures_for_people() -> None:
    assert [bytes_text(n) for n in (0, 1536, 64 << 20, 1 << 50)] == ["0 B", "1.5 KiB", "64 MiB", "1.02e+03 TiB"]
    assert [count_text(n) for n in (12, 999_999, 1_234_567, 10**12)] == ["12", "999,999", "1.23 M", "1 T"]
    assert [duration_text(n) for n in (5, 1500, 65_000, 7_380_000)] == ["5 ms", "1.5 s", "1 min 5 s", "2 h 3 min"]
