"""Abstract classes and virtual subclasses. See `test_programs.py`."""

from __future__ import annotations

import abc
import collections.abc
import contextlib
import io
import numbers
import os
from typing import Any


class MetaAbc(abc.ABCMeta):
    def tag(cls) -> str:
        return f"tag {cls.__name__}"


class AbstractTagged(metaclass=MetaAbc):
    @abc.abstractmethod
    def run(self) -> str: ...


class ConcreteTagged(AbstractTagged):
    def run(self) -> str:
        return "ran"


def _made(cls: Any) -> str:
    try:
        return f"made {type(cls()).__name__}"
    except TypeError:
        return f"abstract {sorted(cls.__abstractmethods__)}"


def p_a_metaclass_of_abstract_classes() -> list[str]:
    return [_made(AbstractTagged), ConcreteTagged().run(), ConcreteTagged.tag()]


class Abstract(abc.ABC):
    @abc.abstractmethod
    def one(self) -> str:
        return "one of Abstract"

    @property
    @abc.abstractmethod
    def two(self) -> str: ...

    @classmethod
    @abc.abstractmethod
    def three(cls) -> str: ...

    @staticmethod
    @abc.abstractmethod
    def four() -> str: ...

    def all(self) -> list[str]:
        return [self.one(), self.two, self.three(), self.four()]


class Half(Abstract):
    def one(self) -> str:
        return "half " + super().one()

    two = "2"


class Whole(Half):
    @classmethod
    def three(cls) -> str:
        return f"three of {cls.__name__}"

    @staticmethod
    def four() -> str:
        return "four"


def p_abstract_methods() -> list[Any]:
    return [_made(Abstract), _made(Half), Whole().all()]


class LaterConcrete(Abstract):
    pass


LaterConcrete.one = Whole.one
LaterConcrete.two = LaterConcrete.three = "set"  # type: ignore
LaterConcrete.four = staticmethod(lambda: "4")  # type: ignore
LaterConcrete.three = classmethod(lambda cls: "3")  # type: ignore


def p_methods_set_later_leave_a_class_abstract() -> str:
    return _made(LaterConcrete)


class Updated(Abstract):
    pass


Updated.one = Updated.two = Updated.three = Updated.four = lambda self=None: "u"  # type: ignore
abc.update_abstractmethods(Updated)


def p_abstract_methods_updated() -> str:
    return Updated().one()


class OnlyMarked:
    @abc.abstractmethod
    def anything(self) -> int:
        return 1


def p_an_abstract_method_of_a_usual_class() -> list[Any]:
    return [OnlyMarked().anything(), OnlyMarked.anything.__isabstractmethod__]


class Drawable(abc.ABC):
    pass


@Drawable.register
class Picture:
    pass


class Photo(Picture):
    pass


Drawable.register(int)


def p_registered_classes() -> list[bool]:
    return [
        isinstance(Picture(), Drawable),
        issubclass(Photo, Drawable),
        isinstance(3, Drawable),
        isinstance("", Drawable),
    ]


class Group(abc.ABC):
    pass


class Part(abc.ABC):
    pass


class Tiny:
    pass


Part.register(Tiny)
Group.register(Part)


def p_registered_classes_of_registered_classes() -> list[bool]:
    return [issubclass(Part, Group), issubclass(Tiny, Part), issubclass(Tiny, Group)]


class Row:
    def __init__(self, *items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: Any) -> Any:
        return self.items[i]


collections.abc.Sequence.register(Row)
numbers.Integral.register(Row)


def p_classes_registered_with_the_library() -> list[bool]:
    one = Row(1, 2)
    known = [collections.abc.Sequence, collections.abc.Reversible, collections.abc.Mapping, numbers.Number]
    return [isinstance(one, cls) for cls in known]


def p_patterns_of_registered_sequences() -> Any:
    match Row(1, 2):
        case [a, b]:
            return [a, b]
        case _:
            return None


class RealSequence(collections.abc.Sequence[Any]):
    def __init__(self, *items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: Any) -> Any:
        return self.items[i]


SEQUENCE = RealSequence(3, 1, 2)


def p_a_subclass_of_sequence() -> list[Any]:
    match SEQUENCE:
        case [first, *rest]:
            found = [first, rest]
        case _:
            found = []
    return [found, SEQUENCE.index(1), 2 in SEQUENCE, [*reversed(SEQUENCE)], SEQUENCE.count(3), sorted(SEQUENCE)]


class Caseless(collections.abc.MutableMapping[str, Any]):
    def __init__(self, **items: Any) -> None:
        self._items: dict[str, Any] = {}
        self.update(items)

    def __getitem__(self, key: str) -> Any:
        return self._items[key.lower()]

    def __setitem__(self, key: str, value: Any) -> None:
        self._items[key.lower()] = value

    def __delitem__(self, key: str) -> None:
        del self._items[key.lower()]

    def __iter__(self) -> Any:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)


CASELESS = Caseless(Red=1, GREEN=2)


def p_a_subclass_of_mutable_mapping() -> list[Any]:
    match CASELESS:
        case {"RED": found}:
            pass
        case _:
            found = None
    copy = Caseless(**CASELESS)
    copy.setdefault("NEW", 3)
    return [found, CASELESS["Green"], copy.pop("new"), dict(CASELESS), CASELESS == {"red": 1, "green": 2}]


class Bits(collections.abc.Set[int]):
    def __init__(self, items: Any = ()) -> None:
        self.items = sorted(set(items))

    def __contains__(self, item: Any) -> bool:
        return item in self.items

    def __iter__(self) -> Any:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


BITS = Bits([3, 1])


def p_a_subclass_of_set() -> list[Any]:
    return [sorted(BITS | Bits([9])), sorted(BITS & {1, 2}), Bits([1]) < BITS, BITS.isdisjoint([4])]


class Quacks(abc.ABC):
    @classmethod
    def __subclasshook__(cls, other: type) -> Any:
        if cls is Quacks:
            return any("quack" in vars(base) for base in other.__mro__) or NotImplemented
        return NotImplemented


class Duck:
    def quack(self) -> str:
        return "quack"


class QuacksMore(Quacks):
    pass


def p_subclass_hooks() -> list[bool]:
    return [
        isinstance(Duck(), Quacks),
        isinstance(3, Quacks),
        isinstance(Duck(), QuacksMore),
        issubclass(QuacksMore, Quacks),
    ]


def p_hooks_of_the_library() -> list[bool]:
    known = [collections.abc.Sized, collections.abc.Hashable, collections.abc.Iterable, collections.abc.Callable]
    return [isinstance(one, cls) for cls in known for one in (Row(1), Duck(), Duck().quack)]


class Conflicting(abc.ABC):
    __slots__ = ("x",)

    def __init__(self) -> None:
        self.x = 1

    @abc.abstractmethod
    def get(self) -> int: ...


class WithSlots(Conflicting):
    __slots__ = ("y",)

    def get(self) -> int:
        self.y = 3
        return self.x + self.y


def p_abstract_classes_with_slots() -> list[Any]:
    return [WithSlots().get(), hasattr(WithSlots(), "__dict__"), _made(Conflicting)]


class AbstractInit(abc.ABC):
    kinds: dict[str, type] = {}

    def __init_subclass__(cls, kind: str = "", **more: Any) -> None:
        super().__init_subclass__(**more)
        AbstractInit.kinds[kind] = cls

    @classmethod
    def of(cls, kind: str) -> Any:
        return cls.kinds[kind]()


class Kind(AbstractInit, kind="k"):
    pass


def p_a_factory_of_an_abstract_class() -> str:
    return type(AbstractInit.of("k")).__name__


ANONYMOUS = abc.ABCMeta("Anonymous", (), {"go": abc.abstractmethod(lambda self: 1)})


def p_an_abstract_class_made_by_a_call() -> str:
    return _made(ANONYMOUS)


class Shelf:
    pass


class Stream:
    pass


os.PathLike.register(Shelf)
io.IOBase.register(Stream)
contextlib.AbstractContextManager.register(Stream)


def p_classes_registered_with_other_modules_of_the_library() -> list[bool]:
    kinds = (os.PathLike, io.IOBase, contextlib.AbstractContextManager)
    return [isinstance(value, kind) for value in (Shelf(), Stream()) for kind in kinds]


class EqualRaises(type):
    def __eq__(cls, other: Any) -> bool:
        raise RuntimeError("compared")

    __hash__ = type.__hash__


class NeverCompared(metaclass=EqualRaises):
    pass


def p_a_class_that_can_not_be_compared() -> str:
    return NeverCompared.__name__
