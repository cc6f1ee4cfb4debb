"""Compares the models with the OpenAPI document that the server serves."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import types
import typing
from typing import Any

import httpx
import pytest
from server import Server

from fabric_client import wire
from fabric_client.errors import KINDS
from fabric_client.wire import problem
from fabric_client.wire.decode import Mismatch, fields_of, read

#: Fields without a model: a problem's `type` only repeats the code as a URN.
LEFT_OUT = {problem.Problem: ("type",)}


#: Models whose names differ from those of their schemas: the client's are shorter.
SCHEMA_NAMES = {
    "Audit": "AuditReport",
    "Deployed": "DeploymentResponse",
    "JobResult": "ResultInfo",
    "Reduce": "ReduceSpec",
    "Shuffle": "ShuffleSpec",
}


def schema_name(model: type[Any]) -> str:
    return SCHEMA_NAMES.get(model.__name__, model.__name__)


def models() -> list[type[Any]]:
    found = []
    for info in pkgutil.iter_modules(wire.__path__):
        module = importlib.import_module(f"fabric_client.wire.{info.name}")
        found += [
            value
            for value in vars(module).values()
            if dataclasses.is_dataclass(value) and isinstance(value, type) and value.__module__ == module.__name__
        ]
    return found


@pytest.fixture(scope="module")
def schemas(server: Server) -> dict[str, Any]:
    document = httpx.get(f"{server.url}/openapi.json").json()
    found: dict[str, Any] = document["components"]["schemas"]
    return found


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    return schema


def _merged(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """Returns an object's schema with the parts that it embeds (`allOf`) as its own properties."""
    merged: dict[str, Any] = {"properties": {}, "required": []}
    for embedded in schema.get("allOf", [schema]):
        part = _resolved(embedded, schemas)
        merged["properties"] |= part["properties"]
        merged["required"] += part.get("required", [])
    return merged


def fits(kind: Any, schema: dict[str, Any], schemas: dict[str, Any]) -> bool:
    """Returns True if a field's type accepts exactly what the schema allows."""
    if kind is Any:
        return True
    name = schema.get("$ref", "").rpartition("/")[2]
    schema = _resolved(schema, schemas)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        (inner,) = (arg for arg in args if arg is not type(None))
        if "oneOf" in schema:
            (other,) = (one for one in schema["oneOf"] if one.get("type") != "null")
            return len(schema["oneOf"]) == 2 and fits(inner, other, schemas)
        return "null" in schema["type"] and fits(inner, {**schema, "type": schema["type"][0]}, schemas)
    if "null" in schema.get("type", "") and isinstance(schema["type"], list):
        return False
    if dataclasses.is_dataclass(kind):
        return schema_name(typing.cast(type, kind)) == name
    if origin is tuple:
        return schema["type"] == "array" and fits(args[0], schema["items"], schemas)
    if origin is dict:
        # Manifests and inputs are passed through unchanged.
        return schema.get("type", "object") == "object"
    return schema["type"] == {str: "string", int: "integer", float: "number", bool: "boolean"}[kind]


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_a_model_is_what_the_server_says(model: type[Any], schemas: dict[str, Any]) -> None:
    schema = _merged(schemas[schema_name(model)], schemas)
    known = {key: (kind, needed) for _, key, kind, needed in fields_of(model)}
    properties = {key: value for key, value in schema["properties"].items() if key not in LEFT_OUT.get(model, ())}
    assert set(known) == set(properties)
    for key, (kind, needed) in known.items():
        assert fits(kind, properties[key], schemas), f"{key}: {kind} is not {properties[key]}"
        assert needed == (key in schema.get("required", ())), f"{key}: required or not?"


def test_every_code_has_its_exception(schemas: dict[str, Any]) -> None:
    assert set(KINDS) == set(schemas["Code"]["enum"])


@dataclasses.dataclass(frozen=True)
class Sample:
    name: str
    count: int = 0
    parts: tuple[float, ...] = ()


def test_values_of_wrong_types_are_named() -> None:
    assert read(Sample, {"name": "x", "parts": [1, 2.5], "new": {}}) == Sample("x", 0, (1.0, 2.5))
    for value, text in [
        ([], r"\$: expected an object, not list"),
        ({}, r"\$\.name: missing"),
        ({"name": 1}, r"\$\.name: expected str, not int"),
        ({"name": "x", "count": True}, r"\$\.count: expected int, not bool"),
        ({"name": "x", "parts": [1, "2"]}, r"\$\.parts\[1\]: expected float, not str"),
        ({"name": None}, r"\$\.name: expected str, not NoneType"),
    ]:
        with pytest.raises(Mismatch, match=text):
            read(Sample, value)
