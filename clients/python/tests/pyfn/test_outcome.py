"""Responses of a hostile sandbox."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fabric_client import ProtocolError, SettingError
from fabric_client.pyfn import RemoteError
from fabric_client.pyfn.outcome import Reader
from fabric_client.pyfn.ship import Shipped
from pyfn.beside import TooMuch

READER = Reader(Shipped("", {}, {"beside:TooMuch": TooMuch}))


def link(**changed: Any) -> dict[str, Any]:
    plain = {
        "type": "builtins.ValueError",
        "args": ["no"],
        "attributes": {},
        "text": "no",
        "notes": [],
        "named": {},
        "frames": [["<0:f>", 1, "f", 1, 0, 1]],
        "link": None,
    }
    return {**plain, **changed}


def read(document: Any) -> Any:
    return Reader(Shipped("", {}, {"beside:TooMuch": TooMuch})).one(json.dumps(document).encode())


@pytest.mark.parametrize(
    "document",
    [
        None,
        5,
        [],
        {},
        {"ok": 1, "error": []},
        {"ok": 1, "printed": [5]},
        {"ok": 1, "printed": [["out", 5]]},
        {"ok": 1, "printed": [["out"]]},
        {"error": []},
        {"error": None},
        {"error": [link()] * 50},
        {"error": [{}]},
        {"error": [5]},
        {"error": [link(type=5)]},
        {"error": [link(args=5)]},
        {"error": [link(frames=[[1]])]},
        {"error": [link(frames=[["f", "1", "n"]])]},
        {"error": [link(frames=5)]},
        {"error": [link(notes=5)]},
        {"error": [link(named=5)]},
        {"error": [link(type="builtins.OSError", named={"filename": 5})]},
        {"ok": {"$array": ["O", ""]}},
        {"ok": {"$array": ["d", "AAAA"]}},
        {"ok": {"$records": [["a"], [[1], [2]]]}},
        {"ok": {"$type": 5}},
        {"what": 1},
    ],
)
def test_a_malformed_answer_is_a_protocol_error(document: Any) -> None:
    with pytest.raises(ProtocolError):
        read(document)
    with pytest.raises(ProtocolError):
        READER.many(json.dumps([document]).encode())


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{", b"5", b"[" * 100_000])
def test_rubbish_is_a_protocol_error(content: bytes) -> None:
    with pytest.raises(ProtocolError):
        READER.one(content)
    with pytest.raises(ProtocolError):
        READER.many(content)


@pytest.mark.parametrize(
    "kind",
    [
        "builtins.SystemExit",
        "builtins.KeyboardInterrupt",
        "builtins.GeneratorExit",
        "builtins.BaseException",
        "builtins.StopIteration",
        "builtins.StopAsyncIteration",
        "builtins.eval",
        "builtins.__import__",
        "builtins.nothing",
        "os.system",
        "beside:Other",
    ],
)
def test_only_exceptions_that_mean_failure_are_rebuilt(kind: str) -> None:
    with pytest.raises(RemoteError) as caught:
        read({"error": [link(type=kind)]})
    assert caught.value.type == kind


def test_a_constructor_that_refuses_gives_a_remote_error() -> None:
    with pytest.raises(RemoteError):
        read({"error": [link(type="builtins.UnicodeDecodeError", args=[1])]})


def test_no_constructor_of_the_user_runs() -> None:
    with pytest.raises(TooMuch) as caught:
        read({"error": [link(type="beside:TooMuch", args=["text"], attributes={"amount": 1})]})
    assert caught.value.args == ("text",)
    assert caught.value.amount == 1


def test_text_can_not_play_with_the_terminal() -> None:
    with pytest.raises(ValueError, match="no") as caught:
        read({"error": [link(text="\x1b]0;title\x07", frames=[["\x1b[2J", 1, "\x1b[1m", 1, 0, 1]])]})
    assert "\x1b" not in str(caught.value.__cause__)
    with pytest.raises(RemoteError) as remote:
        read({"error": [link(type="\x1b[2J", text="\x1b[2J", args=None)]})
    assert "\x1b" not in str(remote.value)


def test_an_unknown_class_is_named() -> None:
    with pytest.raises(SettingError, match="subprocess:Popen"):
        read({"ok": {"$object": ["subprocess:Popen", {}]}})
    with pytest.raises(SettingError, match="os:system"):
        read({"ok": {"$type": "os:system"}})


def test_texts_of_exceptions_that_are_no_arguments_arrive() -> None:
    told = link(type="builtins.FileNotFoundError", args=[2, "not there"], named={"filename": "a.txt"})
    with pytest.raises(FileNotFoundError) as caught:
        read({"error": [told]})
    assert (caught.value.filename, str(caught.value)) == ("a.txt", "[Errno 2] not there: 'a.txt'")
