"""Metaclasses, abstract classes and virtual subclasses. See `test_programs.py`."""

from __future__ import annotations

import abc
import collections.abc
import numbers
from typing import Any


class Meta(type):
    made: list[str] = []
    shared = "of the metaclass"

    def __new__(mcs, name: str, bases: tuple[type, ...], space: dict[str, Any], **keys: Any) -> Any:
        space["stamp"] = f"stamp of {name}"
        space["keys"] = keys
        return super().__new__(mcs, name, bases, space)

    def __init__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any], **keys: Any) -> None:
        super().__init__(name, bases, space)
        Meta.made.append(name)

    def describe(cls) -> str:
        return f"{cls.__name__}: {cls.stamp}"

    @property
    def title(cls) -> str:
        return cls.__name__.upper()

    def __len__(cls) -> int:
        return len(cls.__name__)

    def __contains__(cls, item: Any) -> bool:
        return item == cls.__name__

    def __iter__(cls) -> Any:
        return iter(cls.__name__)

    def __getitem__(cls, item: Any) -> str:
        return f"{cls.__name__}/{item}"


class Made(metaclass=Meta, a=1):
    pass


class MadeChild(Made, b=2):
    def get(self) -> str:
        return self.stamp


def p_what_a_metaclass_added() -> list[Any]:
    return [Made.stamp, Made.keys, MadeChild().get(), MadeChild.keys, Meta.made]


def p_methods_of_a_metaclass() -> list[Any]:
    return [Made.describe(), MadeChild.title, len(MadeChild), "Made" in Made, list(Made), MadeChild[3], Made.shared]


def p_classes_made_there_use_the_metaclass() -> list[Any]:
    class Fresh(Made, c=3):
        pass

    return [Fresh.stamp, Fresh.keys, Meta.made[-1], Fresh.describe()]


class Cached(type):
    instances: dict[Any, Any] = {}

    def __call__(cls, *args: Any) -> Any:
        if (cls, args) not in Cached.instances:
            Cached.instances[cls, args] = super().__call__(*args)
        return Cached.instances[cls, args]


class Value(metaclass=Cached):
    def __init__(self, x: int) -> None:
        self.x = x


VALUE = Value(1)


def p_a_metaclass_that_caches_instances() -> list[bool]:
    return [Value(1) is VALUE, Value(2) is Value(2), Value(2) is Value(3)]


class Ordered(type):
    @classmethod
    def __prepare__(mcs, name: str, bases: tuple[type, ...], **keys: Any) -> Any:
        return {"helper": lambda x: x * 2, **keys}

    def __new__(mcs, name: str, bases: tuple[type, ...], space: dict[str, Any], **keys: Any) -> Any:
        helper = space.pop("helper")
        made = super().__new__(mcs, name, bases, {k: helper(v) if isinstance(v, int) else v for k, v in space.items()})
        made.order = [k for k in space if not k.startswith("__")]
        return made


class Prepared(metaclass=Ordered, extra=5):
    b = helper(10)  # noqa: F821
    a = 1


def p_prepare_of_a_metaclass() -> list[Any]:
    return [Prepared.b, Prepared.a, Prepared.extra, Prepared.order]


class AnyEven(type):
    def __instancecheck__(cls, one: Any) -> bool:
        return isinstance(one, int) and one % 2 == 0

    def __subclasscheck__(cls, one: Any) -> bool:
        return one in (int, bool)


class Even(metaclass=AnyEven):
    pass


def p_instance_checks_of_a_metaclass() -> list[bool]:
    return [isinstance(4, Even), isinstance(3, Even), issubclass(int, Even), issubclass(str, Even)]


def _upper(name: str, bases: tuple[type, ...], space: dict[str, Any]) -> type:
    return type(name, bases, {key.upper() if key[0] != "_" else key: value for key, value in space.items()})


class Upper(metaclass=_upper):
    x = 1

    def get(self) -> str:
        return "got"


def p_a_function_as_metaclass() -> list[Any]:
    return [Upper.X, Upper().GET(), type(Upper) is type]


class Strict(type):
    def __setattr__(cls, name: str, value: Any) -> None:
        raise TypeError(f"{cls.__name__}.{name} is read-only")

    def __getattr__(cls, name: str) -> str:
        return f"missing {name}"


class Constants(metaclass=Strict):
    ONE = 1
    PAIR = (1, [2])


def p_a_metaclass_that_forbids_setting() -> list[Any]:
    try:
        Constants.ONE = 2
    except TypeError as error:
        return [str(error), Constants.ONE, Constants.PAIR, Constants.OTHER]
    return []


class Refusing(type):
    def __new__(mcs, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> Any:
        if "wanted" not in space:
            raise TypeError("a class needs `wanted`")
        return super().__new__(mcs, name, bases, space)


class Wanted(metaclass=Refusing):
    wanted = 3


def p_a_metaclass_that_checks_the_body() -> list[Any]:
    try:
        Refusing("Lacking", (), {})
    except TypeError as error:
        return [Wanted.wanted, str(error)]
    return []


class Needing(type):
    def __new__(mcs, name: str, bases: tuple[type, ...], space: dict[str, Any], *, key: str) -> Any:
        made = super().__new__(mcs, name, bases, space)
        made.key = key
        return made

    def __init__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any], *, key: str) -> None:
        super().__init__(name, bases, space)


class Needed(metaclass=Needing, key="k"):
    pass


def p_a_metaclass_with_a_required_keyword() -> str:
    return Needed().key  # type: ignore[attr-defined,no-any-return]


class MetaMeta(type):
    def of(cls) -> str:
        return f"metaclass {cls.__name__}"


class Middle(type, metaclass=MetaMeta):
    def of_class(cls) -> str:
        return f"class {cls.__name__}"


class Lowest(metaclass=Middle):
    pass


def p_a_metaclass_of_a_metaclass() -> list[str]:
    return [Middle.of(), Lowest.of_class(), type(type(Lowest)).__name__]


class MroMeta(type):
    def mro(cls) -> list[type]:
        return [cls, Extra, *type.mro(cls)[1:]]


class Extra:
    extra = "from the order"


class WithMro(metaclass=MroMeta):
    pass


def p_a_metaclass_with_its_own_order() -> Any:
    return WithMro.extra


class Orderable(type):
    def __lt__(cls, other: type) -> bool:
        return cls.__name__ < other.__name__

    def __eq__(cls, other: object) -> bool:
        return isinstance(other, Orderable) and cls.__name__.lower() == other.__name__.lower()

    def __hash__(cls) -> int:
        return hash(cls.__name__.lower())

    def __repr__(cls) -> str:
        return f"<{cls.__name__}>"


class Zed(metaclass=Orderable):
    pass


class Abc(metaclass=Orderable):
    pass


ZED_TOO = Orderable("ZED", (), {"x": 2})
BY_CLASS = {Zed: "zed"}


def p_classes_that_compare() -> list[Any]:
    return [sorted([Zed, Abc])[0].__name__, Zed == ZED_TOO, Zed is ZED_TOO, BY_CLASS[ZED_TOO], repr(Zed)]


class Registry(type):
    known: dict[str, type] = {}

    def __init__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> None:
        super().__init__(name, bases, space)
        if bases:
            Registry.known[name] = cls


class Shape(metaclass=Registry):
    def area(self) -> float:
        raise NotImplementedError


class Square(Shape):
    def area(self) -> float:
        return 4.0


class Circle(Shape):
    def area(self) -> float:
        return 3.0


def p_a_registry_of_a_metaclass() -> dict[str, float]:
    return {name: cls().area() for name, cls in sorted(Registry.known.items())}


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


class Wrapping(type):
    """Wraps every method."""

    def __new__(mcs, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> Any:
        def wrapped(function: Any) -> Any:
            def call(self: Any, *args: Any) -> Any:
                self.calls.append(function.__name__)
                return function(self, *args)

            return call

        return super().__new__(mcs, name, bases, {k: wrapped(v) if k[0] != "_" else v for k, v in space.items()})


class Logged(metaclass=Wrapping):
    def __init__(self) -> None:
        self.calls: list[str] = []

    def a(self) -> str:
        return self.b() + "a"

    def b(self) -> str:
        return "b"


def p_methods_that_a_metaclass_wrapped() -> list[Any]:
    one = Logged()
    return [one.a(), one.calls]


class Meta1(type):
    one = 1


class Meta2(Meta1):
    two = 2


class Uses1(metaclass=Meta1):
    pass


class Uses2(Uses1, metaclass=Meta2):
    pass


def p_the_most_derived_metaclass() -> list[Any]:
    return [type(Uses2).__name__, Uses2.one, Uses2.two, type(Uses1).__name__]


class Dunder(type):
    def __bool__(cls) -> bool:
        return False

    def __call__(cls, *args: Any) -> Any:
        return ("called", cls.__name__, args)

    def __or__(cls, other: Any) -> str:
        return "or"

    def __dir__(cls) -> list[str]:
        return ["only"]


class False_(metaclass=Dunder):
    pass


def p_a_false_class() -> list[Any]:
    return [bool(False_), False_(1, 2), False_ | 3, dir(False_)]
