"""Metaclasses. See `test_programs.py`."""

from __future__ import annotations

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
