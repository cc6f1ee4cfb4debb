"""Calling functions."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from fabric_client import BadRequest, Fabric, GuestFault, LimitExceeded, NotFound, SettingError


def test_a_call_gives_a_python_value(fab: Fabric) -> None:
    wordcount = fab.function("wordcount")
    assert wordcount("to be or not to be") == {"total": 6, "words": {"be": 2, "not": 1, "or": 1, "to": 2}}
    assert wordcount("", emit=False)["total"] == 0


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (b"\x00\xff", b"\x00\xff"),
        ("grün", "grün".encode()),
        (None, b""),
        ({"a": [1, 2.5, None, True]}, b'{"a":[1,2.5,null,true]}'),
        (bytearray(b"x"), b"x"),
        (io.BytesIO(b"read me"), b"read me"),
    ],
)
def test_what_is_sent(fab: Fabric, value: object, sent: bytes) -> None:
    assert fab.function("noop").invoke(value).content == sent


def test_a_file_is_sent(fab: Fabric, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"12" * 300_000)
    assert fab.function("noop")(tmp_path / "body") == b"12" * 300_000


def test_the_whole_answer(fab: Fabric) -> None:
    reply = fab.function("noop").invoke(b"once more", key="a-key-of-mine")
    again = fab.function("noop").invoke(b"once more", key="a-key-of-mine")
    assert again == reply
    assert reply.version == 1
    assert reply.fuel is not None
    assert reply.fuel > 0
    assert reply.invocation_id


def test_a_trap_is_an_exception_with_everything(fab: Fabric) -> None:
    with pytest.raises(GuestFault) as caught:
        fab.function("trap")()
    error = caught.value
    assert error.code == "trap:unreachable"
    assert [frame.function for frame in error.backtrace] == ["innermost", "entry"]
    assert any("unreachable" in line.message for line in error.log_tail)
    assert "innermost in trap" in str(error)
    assert error.invocation_id


def test_a_limit_is_an_exception_of_its_own(fab: Fabric) -> None:
    with pytest.raises(LimitExceeded) as caught:
        fab.function("endless-loop")()
    assert caught.value.code == "out-of-fuel"
    assert caught.value.fuel == pytest.approx(10_000_000, rel=0.1)


def test_mistakes_say_what_to_do(fab: Fabric) -> None:
    with pytest.raises(NotFound, match="nothing-like-it"):
        fab.function("nothing-like-it")
    with pytest.raises(LookupError):
        fab.function("nothing-like-it")
    with pytest.raises(BadRequest, match="invalid-params"):
        fab.function("wordcount")("x", emitt=True)
    for wrong in ("../jobs", "", "noop@x", "noop@", "noop:", ":live", "@1"):
        with pytest.raises(SettingError, match="bad-request"):
            fab.function(wrong)
    with pytest.raises(SettingError, match="header"):
        fab.function("noop").invoke(b"x", content_type="two\nlines")
    with pytest.raises(NotFound, match="noop@99"):
        fab.function("noop@99")(b"x")
    with pytest.raises(TypeError, match="complex"):
        fab.function("noop")(1j)
    with pytest.raises(ValueError, match="JSON"):
        fab.function("noop")(float("nan"))


def test_a_spawned_call_gives_its_result_later(fab: Fabric) -> None:
    call = fab.function("noop").spawn({"n": 1})
    assert call.result(60) == b'{"n":1}'
    found = fab.invocation(call.id)
    assert found.state == "succeeded"
    assert found.result() == b'{"n":1}'
    assert found.cancel() is False


def test_a_spawned_call_that_fails_raises(fab: Fabric) -> None:
    call = fab.function("trap").spawn()
    error = call.exception(60)
    assert isinstance(error, GuestFault)
    assert error.backtrace
    with pytest.raises(GuestFault):
        call.result()
