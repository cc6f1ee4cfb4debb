"""The specification of a map: the texts of its tasks, the parameters of all tasks, and the options of its job."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from ..api import objects
from ..dataset import DatasetBase
from ..errors import Conflict
from ..request import Policy
from ..spec import job_spec
from ..steps import Plan
from . import chunks, partitions, tables
from .codec import dumps
from .results import Items
from .ship import Shipment, Shipped


class MapOptions(TypedDict, total=False):
    """The options of a map's job, as in `Function.map`."""

    output: str | None
    name: str | None
    tags: Iterable[str]
    concurrency: int | None
    max_attempts: int | None
    allow_failed: int | None
    priority: int | None
    budget_fuel: int | str | None
    node_selector: Mapping[str, str] | None
    cache: bool
    key: str | None
    #: Number of results merged at a time.
    fan_in: int | None
    #: The argument for a partition of a data set, with the names of its columns and their types.
    batch_format: Literal["rows", "columns", "file"] | None
    columns: Iterable[str] | None
    types: Mapping[str, type | str] | None


@dataclass(frozen=True)
class Map:
    """A map of a function, as asked for. Its options are checked when it is made.

    Raises:
        TypeError: for an unknown option, for options that do not fit the data set, and for a `reduce` that cannot be
            called.
        ValueError: for an unknown batch format.
    """

    #: A data set, or the items.
    over: DatasetBase | Iterable[Any]
    reduce: Callable[[Any, Any], Any] | None
    #: Number of items per task; None to choose one.
    chunksize: int | None
    options: MapOptions
    #: True if each item is a tuple of arguments.
    star: bool = False
    #: The description of a partition for the runner; None for a file, or for items.
    batch: dict[str, Any] | None = field(init=False)

    def __post_init__(self) -> None:
        unknown = sorted(self.options.keys() - MapOptions.__annotations__.keys())
        if unknown:
            known = ", ".join(["reduce", "chunksize", *sorted(MapOptions.__annotations__)])
            raise TypeError(f"a map has no option {unknown[0]!r}; its options are {known}")
        if self.reduce is not None and not callable(self.reduce):
            raise TypeError(f"reduce is {self.reduce!r}, and must be a function of two values, such as operator.add")
        # Once, because the names of columns may be an iterator.
        object.__setattr__(self, "batch", partitions.batch(self.over, self.options))

    def again(self, items: list[Any]) -> Map:
        """Returns a map of some of the items, each as a task. It is a job of its own, and stores no objects."""
        options: Any = {name: value for name, value in self.options.items() if name not in ("key", "output")}
        options["allow_failed"] = len(items)
        return Map(items, None, 1, options, self.star)


@dataclass(frozen=True)
class Specification:
    """The specification of a map's job, except for the deployment that runs it."""

    source: DatasetBase | list[str]
    params: dict[str, Any]
    options: dict[str, Any]
    #: The data for decoding the results.
    shipped: Shipped
    #: The items; None for a data set.
    items: Items | None

    def of(self, ref: str) -> dict[str, Any]:
        """Returns the specification for a deployment of the runner."""
        return job_spec(ref, self.source, params=self.params, **self.options)


def specified(policy: Policy, name: str, given: Map, shipment: Shipment, entry: Any) -> Plan[Specification]:
    """Returns the specification of a map. Items that do not fit into a request are stored first.

    Raises:
        TypeError: for a string or a dictionary instead of items.
        NotShippable: if something cannot be sent.
    """
    source: DatasetBase | list[str]
    if isinstance(given.over, DatasetBase):
        source, over, items = given.over, "partition", None
    else:
        over = "star" if given.star else "items"
        source, items = _texts(name, given, shipment)
    more = {} if given.reduce is None else {"reduce": shipment.value(given.reduce, "the function that reduces")}
    shipped = shipment.finish(entry, **more)
    chunks.check_bundle(shipped.bundle)
    if isinstance(source, list) and sum(map(len, source)) > chunks.INLINE_BYTES:
        path, content = chunks.stored(source)
        # If the object exists, it holds the same items, since its path is their hash.
        with contextlib.suppress(Conflict):
            yield from objects.put(policy, path, content, "application/jsonl", True, None)
        source = DatasetBase(path, "items")
    params: dict[str, Any] = {"bundle": shipped.bundle, "over": over}
    if given.batch is not None:
        params["batch"] = given.batch
    options: dict[str, Any] = {"name": name, **given.options}
    for own in ("key", "batch_format", "columns", "types"):
        options.pop(own, None)
    fan_in = options.pop("fan_in", None)
    options["reduce"] = False if given.reduce is None else fan_in or True
    return Specification(source, params, options, shipped, items)


def _texts(name: str, given: Map, shipment: Shipment) -> tuple[list[str], Items]:
    """Returns the text of each task, and the items."""
    over: Any = given.over
    if isinstance(over, str | bytes | Mapping):
        raise TypeError(f"can't map over a {type(over).__name__}: pass a list of items, or fab.dataset(path)")
    if tables.is_table(over):
        name_of = type(over).__name__
        raise TypeError(f"can't map over a {name_of}: store it with Dataset.from_pandas, or pass a list of its rows")
    texts, known = [], []
    for number, item in enumerate(over):
        known.append(item)
        value = list(item) if given.star else item
        texts.append(dumps(shipment.value(value, f"item {number} of {name}")))
    tasks = list(chunks.chunks(texts, given.chunksize))
    return chunks.texts(tasks), Items([len(task) for task in tasks], known)
