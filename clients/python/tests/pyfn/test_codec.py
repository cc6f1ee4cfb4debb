"""The codec: round trips of values, and hostile input."""

from __future__ import annotations

import collections
import datetime
import json
import math
from typing import Any

import pytest

from fabric_client.pyfn.codec import MAX_DEPTH, CodecError, Decoder, Encoder, dumps
from pyfn.beside import Account, Colour, Pair, Place, Point
from pyfn.test_remote import VALUES

CLASSES: dict[str, type] = {cls.__name__: cls for cls in (Account, Colour, Pair, Place, Point)}
CLASSES["Level"] = type(VALUES[-1])
ENCODER = Encoder(lambda cls: cls.__name__ if cls.__name__ in CLASSES else None)
DECODER = Decoder(CLASSES)


@pytest.mark.parametrize("value", VALUES, ids=lambda v: type(v).__name__)
def test_a_value_comes_back(value: Any) -> None:
    text = ENCODER.text(value)
    assert text.isascii()
    there = DECODER.value(text)
    assert there == value
    assert type(there) is type(value)
    assert ENCODER.text(there) == text


def test_numbers_that_are_not_equal_to_themselves() -> None:
    assert math.isnan(DECODER.value(ENCODER.text(math.nan)))
    assert math.copysign(1, DECODER.value(ENCODER.text(-0.0))) == -1


def test_equal_sets_give_equal_text() -> None:
    # The same strings in another order, as in another process.
    words = [f"w{n}" for n in range(50)]
    assert ENCODER.text(set(words)) == ENCODER.text(set(reversed(words)))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (object(), "cannot be sent"),
        (open, "cannot be sent"),
        (memoryview(b""), "cannot be sent"),
        (datetime.datetime(2024, 1, 1, tzinfo=type("Zone", (datetime.tzinfo,), {})()), "time zone"),
        (collections.defaultdict(lambda: 1), "custom factory"),
        (type("Text", (str,), {})("x"), "cannot be sent"),
    ],
)
def test_what_does_not_travel_says_so(value: Any, reason: str) -> None:
    with pytest.raises(CodecError, match=reason) as caught:
        ENCODER.text([value])
    assert caught.value.hint


def test_cycles_and_depth_are_refused() -> None:
    loop: list[Any] = []
    loop.append({"again": loop})
    with pytest.raises(CodecError, match="contains itself"):
        ENCODER.text(loop)
    deep: Any = 0
    for _ in range(MAX_DEPTH):
        deep = [deep]
    assert DECODER.value(ENCODER.text(deep)) == deep
    with pytest.raises(CodecError, match="nested deeper"):
        ENCODER.text([[deep]])


def tagged(tag: str, value: Any) -> str:
    return dumps({tag: value})


HOSTILE = {
    "not json": "{",
    "not a constant": "NaN",
    "brackets": "[" * 100_000,
    "braces": '{"a":' * 100_000,
    "nested": "[" * 1000 + "]" * 1000,
    "nested tags": '{"$tuple":[' * 300 + "]}" * 300,
    "nested objects": '{"a":' * 300 + "1" + "}" * 300,
    "long number": "1" * 100_000,
    "long hexadecimal": tagged("$fraction", ["0x" + "f" * (1 << 20), "0x" + "e" * (1 << 20)]),
    "an unknown tag": tagged("$import", "os"),
    "a tag for the other way": tagged("$call", [{"$from": ["os", "system"]}, ["true"], None]),
    "two tags": '{"$tuple":[],"$set":[]}',
    "an unknown class": tagged("$object", ["os._Environ", {}]),
    "a class by path": tagged("$object", ["subprocess:Popen", {"args": "true"}]),
    "an enum as an object": tagged("$object", ["Colour", {"_value_": 1}]),
    "an object as an enum": tagged("$enum", ["Point", "x"]),
    "no member": tagged("$enum", ["Colour", "__class__"]),
    "a namedtuple as an object": tagged("$object", ["Pair", {}]),
    "too few fields": tagged("$namedtuple", ["Pair", [1]]),
    "too many fields": tagged("$namedtuple", ["Pair", [1, 2, 3]]),
    "a dunder": tagged("$object", ["Point", {"__class__": 1}]),
    "attributes of a property": tagged("$object", ["Account", {"balance": 10**9}]),
    "attributes that are none": tagged("$object", ["Point", [1]]),
    "a class that is no text": tagged("$object", [["Point"], {}]),
    "the same key twice": tagged("$dict", [[1, 1], [1.0, 2]]),
    "the same item twice": tagged("$set", [1, True]),
    "unhashable items": tagged("$set", [[1]]),
    "unhashable keys": tagged("$dict", [[{}, 1]]),
    "a pair of three": tagged("$dict", [[1, 2, 3]]),
    "a list that is none": tagged("$tuple", "abc"),
    "base64 that is none": tagged("$bytes", "####="),
    "bytes that are none": tagged("$bytes", 5),
    "a length below 0": tagged("$deque", [-1, []]),
    "a step of 0": tagged("$range", [0, 1, 0]),
    "a range of texts": tagged("$range", ["0", "1", "1"]),
    "a date that is none": tagged("$date", "2024-13-01"),
    "an offset of weeks": tagged("$datetime", ["2024-01-01T00:00:00", 0, 10**15, None]),
    "a duration too long": tagged("$timedelta", [10**12, 0, 0]),
    "a denominator of 0": tagged("$fraction", ["0x1", "0x0"]),
    "a number that is none": tagged("$decimal", "one"),
    "a float that is none": tagged("$float", "1.5"),
    "an unhashable float": tagged("$float", ["nan"]),
    "a factory that is none": tagged("$defaultdict", ["eval", []]),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_refused(text: str) -> None:
    with pytest.raises(CodecError):
        DECODER.value(text)


def test_size_is_bounded() -> None:
    with pytest.raises(CodecError, match="more than 10"):
        DECODER.value("[" + "0," * 100 + "0]", max_bytes=10)


def test_keys_of_one_hash_are_refused() -> None:
    # Integers hash to their remainder modulo 2⁶¹ - 1: a set of these numbers takes quadratic time.
    prime = 2**61 - 1
    alike = [n * prime for n in range(5000)]
    for text in (tagged("$set", alike), tagged("$dict", [[n, 0] for n in alike])):
        with pytest.raises(CodecError, match="equal hash"):
            DECODER.value(text)
    assert len(DECODER.value(tagged("$set", alike[:500]))) == 500


def test_no_code_of_a_class_runs() -> None:
    ran = []

    class Trap:
        def __init__(self) -> None:
            ran.append("init")

        def __setattr__(self, name: str, value: object) -> None:
            ran.append(name)

        def __setstate__(self, state: object) -> None:
            ran.append("state")

    made = Decoder({"Trap": Trap}).value('{"$object":["Trap",{"a":1}]}')
    assert vars(made) == {"a": 1}
    assert ran == []


def test_every_byte_flipped_gives_a_value_or_a_codec_error() -> None:
    text = ENCODER.text(VALUES).encode()
    for place in range(0, len(text), 3):
        for bit in (1, 4, 64, 128):
            broken = bytearray(text)
            broken[place] ^= bit
            try:
                DECODER.value(bytes(broken))
            except CodecError:
                continue


def test_the_text_is_json() -> None:
    assert json.loads(ENCODER.text({"a": [1, (2,)]})) == {"a": [1, {"$tuple": [2]}]}
