"""Descriptors, properties and class decorators. See `test_programs.py`."""

from __future__ import annotations

import functools
import types
from typing import Any


class Typed:
    """A data descriptor that stores values in the instance."""

    def __init__(self, kind: type, default: Any = None) -> None:
        self.kind, self.default, self.sets = kind, default, 0

    def __set_name__(self, owner: type, name: str) -> None:
        self.owner, self.name = owner, name

    def __get__(self, one: Any, owner: type | None = None) -> Any:
        return self if one is None else one.__dict__.get(self.name, self.default)

    def __set__(self, one: Any, value: Any) -> None:
        if not isinstance(value, self.kind):
            raise TypeError(f"{self.owner.__name__}.{self.name} is {self.kind.__name__}, not {value!r}")
        self.sets += 1
        one.__dict__[self.name] = value

    def __delete__(self, one: Any) -> None:
        del one.__dict__[self.name]


class Person:
    name = Typed(str)
    age = Typed(int, 18)

    def __init__(self, name: str) -> None:
        self.name = name


PERSON = Person("Ann")


def _error(call: Any) -> str:
    try:
        return f"no error: {call()}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def p_a_data_descriptor() -> list[Any]:
    return [
        PERSON.name,
        PERSON.age,
        _error(lambda: setattr(PERSON, "age", "x")),
        Person.age.name,
        Person.name.owner is Person,
    ]


def p_a_data_descriptor_is_set_and_deleted() -> list[Any]:
    one = Person("Bob")
    before = Person.age.sets
    one.age = 4
    seen = one.age
    del one.age
    return [seen, one.age, Person.age.sets - before]


class Stored:
    """A data descriptor that stores values itself."""

    def __init__(self) -> None:
        self.values: dict[Any, Any] = {}

    def __get__(self, one: Any, owner: type) -> Any:
        return self.values.get(one, "class") if one is not None else "class"

    def __set__(self, one: Any, value: Any) -> None:
        self.values[one] = value


class UsesStored:
    x = Stored()


STORED = UsesStored()
STORED.x = 5


def p_a_descriptor_that_stores_by_instance() -> list[Any]:
    return [STORED.x, UsesStored().x, UsesStored.x]


class NonData:
    def __init__(self, text: str) -> None:
        self.text = text

    def __get__(self, one: Any, owner: Any = None) -> Any:
        return f"{self.text} of {'class' if one is None else 'instance'} {owner.__name__}"


class UsesNonData:
    a = NonData("a")

    def __init__(self) -> None:
        self.__dict__["b"] = "kept"

    b = NonData("b")


def p_a_descriptor_without_set() -> list[str]:
    return [UsesNonData.a, UsesNonData().a, UsesNonData().b]


UsesNonData.later = NonData("later")


def p_a_descriptor_set_later() -> str:
    return UsesNonData().later  # type: ignore[attr-defined,no-any-return]


class Temperature:
    def __init__(self) -> None:
        self._c = 20.0
        self.log: list[str] = []

    @property
    def c(self) -> float:
        """Degrees."""
        return self._c

    @c.setter
    def c(self, value: float) -> None:
        self.log.append(f"set {value}")
        self._c = value

    @c.deleter
    def c(self) -> None:
        self.log.append("deleted")

    def _get_f(self) -> float:
        return self._c * 2

    f = property(_get_f, doc="Doubled.")
    only_set = property(None, lambda self, value: self.log.append(value))


def p_properties_with_setter_and_deleter() -> list[Any]:
    one = Temperature()
    one.c = 5.0
    del one.c
    one.only_set = "only"
    errors = [_error(lambda: setattr(one, "f", 1)).split(":")[0], _error(lambda: one.only_set).split(":")[0]]
    return [one.c, one.f, one.log, errors, Temperature.c.__doc__, Temperature.f.__doc__]


class Warm(Temperature):
    @Temperature.c.getter
    def c(self) -> float:
        return super().c + 100

    @property
    def f(self) -> float:
        return super().f + 1


def p_properties_of_subclasses() -> list[Any]:
    one = Warm()
    one.c = 1.0
    return [one.c, one.f, one.log]


def _make_property(name: str) -> Any:
    def get(self: Any) -> Any:
        return getattr(self, "_" + name, f"no {name}")

    def put(self: Any, value: Any) -> None:
        setattr(self, "_" + name, value)

    return property(get, put)


class Generated:
    a, b = _make_property("a"), _make_property("b")


def p_properties_made_by_a_function() -> list[Any]:
    one = Generated()
    one.a = 1
    return [one.a, one.b]


class Lazy:
    calls = 0

    def __init__(self, x: int) -> None:
        self.x = x

    @functools.cached_property
    def double(self) -> int:
        Lazy.calls += 1
        return self.x * 2


LAZY = Lazy(4)
assert LAZY.double == 8


def p_cached_properties() -> list[Any]:
    before = Lazy.calls
    one = Lazy(5)
    return [LAZY.double, Lazy.calls - before, one.double, one.double, Lazy.calls - before, vars(one)]


class LazyProperty(functools.cached_property):
    def __get__(self, one: Any, owner: Any = None) -> Any:
        return ("own", super().__get__(one, owner)) if one is not None else self


class OwnProperty(property):
    def __get__(self, one: Any, owner: Any = None) -> Any:
        return ("own", super().__get__(one, owner))


class UsesOwn:
    @OwnProperty
    def x(self) -> int:
        return 3


class UsesLazyOwn:
    @LazyProperty
    def x(self) -> int:
        return 4


def p_an_own_subclass_of_property() -> Any:
    return UsesOwn().x


def _logged(function: Any) -> Any:
    @functools.wraps(function)
    def call(*args: Any) -> Any:
        return ["logged", function(*args)]

    return call


class Stacked:
    @classmethod
    @_logged
    def a(cls) -> str:
        return cls.__name__

    @staticmethod
    @_logged
    def b(x: int) -> int:
        return x

    @property
    @_logged
    def c(self) -> str:
        return "c"

    @_logged
    @_logged
    def d(self) -> str:
        return super().__class__.__name__

    @functools.lru_cache(maxsize=None)  # noqa: B019, UP033
    def e(self, x: int) -> int:
        return x + 1

    @classmethod
    @functools.lru_cache
    def f(cls, x: int) -> str:
        return f"{cls.__name__} {x}"


class StackedChild(Stacked):
    pass


def p_stacks_of_decorators() -> list[Any]:
    one = StackedChild()
    return [one.a(), one.b(2), one.c, one.d(), one.e(1), one.f(3), Stacked.a.__name__, Stacked.b.__wrapped__(7)]  # type: ignore


class Dispatching:
    @functools.singledispatchmethod
    def show(self, x: Any) -> str:
        return f"any {x}"

    @show.register
    def _(self, x: int) -> str:
        return f"int {x} {__class__.__name__}"

    @show.register(list)
    def _list(self, x: Any) -> str:
        return f"list of {', '.join(map(self.show, x))}"

    @functools.singledispatchmethod
    @classmethod
    def make(cls, x: Any) -> str:
        return f"{cls.__name__} any"

    @make.register
    @classmethod
    def _(cls, x: str) -> str:
        return f"{cls.__name__} str"


class DispatchingChild(Dispatching):
    pass


def p_single_dispatch_methods() -> list[Any]:
    one = DispatchingChild()
    return [one.show(1), one.show("s"), one.show([1, "b"]), one.make(1), DispatchingChild.make("s")]


class Partials:
    def move(self, x: int, y: int) -> list[Any]:
        return [type(self).__name__, x, y]

    up = functools.partialmethod(move, 0, y=1)
    down = functools.partialmethod(move, y=-1)


def p_partial_methods() -> list[Any]:
    return [Partials().up(), Partials().down(5)]


@functools.total_ordering
class Ordered:
    def __init__(self, n: int) -> None:
        self.n = n

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ordered) and self.n == other.n

    def __lt__(self, other: Any) -> bool:
        return self.n < other.n if isinstance(other, Ordered) else NotImplemented


def p_total_ordering() -> list[Any]:
    one, two = Ordered(1), Ordered(2)
    return [one <= two, one > two, one >= Ordered(1), max(one, two).n, _error(lambda: one >= 3)]


def _adding(cls: Any) -> Any:
    cls.added = lambda self: f"added to {cls.__name__}"
    cls.original_init = cls.__init__

    def init(self: Any, *args: Any) -> None:
        cls.original_init(self, *args)
        self.decorated = True

    cls.__init__ = init
    return cls


@_adding
class Added:
    def __init__(self, x: int = 1) -> None:
        self.x = x


def p_a_class_decorator_that_adds() -> list[Any]:
    one: Any = Added(3)
    return [one.added(), one.decorated, one.x]


def _replacing(cls: Any) -> Any:
    class Replaced(cls):
        inner = cls

        def get(self) -> Any:
            return ["replaced", super().get()]

    return functools.update_wrapper(Replaced, cls, updated=())


@_replacing
class Getter:
    def get(self) -> str:
        return f"get {type(self).__name__}"

    def again(self) -> Any:
        return Getter().get()


def p_a_class_decorator_that_replaces() -> list[Any]:
    return [Getter().get(), Getter().again(), Getter.__name__, Getter.inner.get(Getter())]


def _singleton(cls: Any) -> Any:
    made: list[Any] = []

    @functools.wraps(cls, updated=())
    def get() -> Any:
        if not made:
            made.append(cls())
        return made[0]

    return get


@_singleton
class Only:
    def __init__(self) -> None:
        self.items: list[int] = []


def p_a_class_decorator_that_returns_a_function() -> list[Any]:
    return [Only() is Only(), Only().items]


class _Wrapper:
    def __init__(self, cls: Any) -> None:
        self.cls, self.count = cls, 0

    def __call__(self, *args: Any) -> Any:
        self.count += 1
        return self.cls(*args)

    def __getattr__(self, name: str) -> Any:
        if name == "cls" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.cls, name)


@_Wrapper
class WrappedClass:
    kind = "wrapped"

    def hello(self) -> str:
        return "hello"


def p_a_class_decorator_that_returns_an_instance() -> list[Any]:
    before = WrappedClass.count
    return [WrappedClass().hello(), WrappedClass.kind, WrappedClass.count - before]


class Borrowed:
    size = Temperature.f
    method = Temperature._get_f
    lower = staticmethod(str.lower)
    joined = ",".join
    make = classmethod(lambda cls, x: (cls.__name__, x))
    count = len
    partial = functools.partial(pow, 2)
    _c = 7


def p_methods_from_elsewhere() -> list[Any]:
    one: Any = Borrowed()
    return [
        one.size,
        one.method(),
        one.lower("ABC"),
        one.joined(["a", "b"]),
        one.make(1),
        one.count([1]),
    ]


class Holder:
    def __init__(self) -> None:
        self.run = lambda x: x + self.by
        self.by = 10
        self.kind = Ordered
        self.bound = self.get
        self.other = Temperature().__class__
        self.library = functools.partial(self.get, 3)

    def get(self, x: int = 0) -> int:
        return self.by + x


HOLDER = Holder()
HOLDER.extra = types.MethodType(lambda self, x: self.by * x, HOLDER)


def p_functions_as_instance_attributes() -> list[Any]:
    one: Any = HOLDER
    return [one.run(1), one.kind(3).n, one.bound(2), one.other.__name__, one.library(), one.extra(4)]


def p_bound_methods_refer_to_their_instance() -> list[Any]:
    one: Any = HOLDER
    return [one.bound.__self__ is HOLDER, one.extra.__self__ is HOLDER]


class Meta(type):
    @property
    def of_class(cls) -> str:
        return f"property of {cls.__name__}"

    of_all = Typed(int, 3)


class WithMeta(metaclass=Meta):
    pass


def p_a_property_of_a_metaclass() -> str:
    return WithMeta.of_class


class ReadOnly:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __get__(self, one: Any, owner: Any = None) -> Any:
        return self.value

    def __set__(self, one: Any, value: Any) -> None:
        raise AttributeError("read-only")


class Config:
    level = ReadOnly(3)
    names = ReadOnly(["a"])


CONFIG = Config()
CONFIG.__dict__["level"] = "hidden"


def p_a_read_only_descriptor() -> list[Any]:
    return [CONFIG.level, CONFIG.names, _error(lambda: setattr(CONFIG, "level", 1)), vars(CONFIG)]


SHARED = ReadOnly("shared")


class One:
    x = SHARED


class Two:
    y = SHARED


def p_a_descriptor_of_two_classes() -> list[Any]:
    return [One.x, Two.y, vars(One)["x"] is vars(Two)["y"], vars(One)["x"] is SHARED]


class Dynamic:
    def __init__(self, **keys: Any) -> None:
        self.__dict__.update(keys)

    def __dir__(self) -> list[str]:
        return ["only", *self.__dict__]


ODD = Dynamic(**{"not an identifier": 1, "class": 2, "$ref": 3, "ключ": 4, "": 5, "$": 6})
ODD_KEYS = Dynamic()
ODD_KEYS.__dict__[1] = "one"


def p_odd_names_of_instance_attributes() -> list[Any]:
    return [vars(ODD), dir(ODD), getattr(ODD, "class")]


REFUSED = {
    "p_instance_attributes_with_names_that_are_no_text": "an attribute whose name is no text",
    "p_an_own_subclass_of_property": "OwnProperty cannot be sent",
}


def p_instance_attributes_with_names_that_are_no_text() -> Any:
    return list(vars(ODD_KEYS).items())


DUNDER = Dynamic(__name__="named", __doc__="doc", __wrapped__=3)


def p_instance_attributes_with_special_names() -> list[Any]:
    return [DUNDER.__name__, DUNDER.__doc__, DUNDER.__wrapped__]
