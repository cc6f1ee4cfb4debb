"""Classes: bases, `super`, hooks of subclasses, and registries. See `test_programs.py`."""

from __future__ import annotations

from typing import Any


class Base:
    kind = "base"

    def who(self) -> list[str]:
        return ["Base"]

    @classmethod
    def make(cls, *args: Any) -> Base:
        return cls(*args)

    @staticmethod
    def twice(x: int) -> int:
        return 2 * x


class Left(Base):
    def who(self) -> list[str]:
        return ["Left", *super().who()]


class Right(Base):
    def who(self) -> list[str]:
        return ["Right", *super(Right, self).who()]  # noqa: UP008


class Bottom(Left, Right):
    kind = "bottom"

    def who(self) -> list[str]:
        return ["Bottom", *super().who()]


def p_a_diamond_calls_each_class_once() -> list[str]:
    return Bottom().who()


def p_the_order_of_bases_is_kept() -> list[str]:
    return [cls.__name__ for cls in Bottom.__mro__]


def p_class_methods_make_the_subclass() -> list[str]:
    return [type(Bottom.make()).__name__, type(Left.make()).__name__, str(Bottom.twice(4))]


def p_subclasses_are_known_to_their_base() -> list[str]:
    return sorted(cls.__name__ for cls in Base.__subclasses__() if issubclass(Bottom, cls))


class Registered:
    registry: dict[str, type] = {}
    tag = ""

    def __init_subclass__(cls, /, tag: str = "none", **more: Any) -> None:
        super().__init_subclass__(**more)
        cls.tag = tag
        Registered.registry[tag] = cls


class Alpha(Registered, tag="alpha"):
    def say(self) -> str:
        return "I am alpha"


class Beta(Alpha, tag="beta"):
    pass


class Gamma(Registered):
    pass


def p_a_registry_of_subclasses_with_keywords() -> list[Any]:
    made = Registered.registry["beta"]()
    return [sorted(Registered.registry), made.say(), made.tag, Gamma.tag, len(Registered.registry)]


def p_subclasses_made_there_run_init_subclass() -> list[str]:
    class Delta(Registered, tag="delta"):
        pass

    return [Delta.tag, *sorted(Registered.registry)]


class MustHave:
    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if not hasattr(cls, "wanted"):
            raise TypeError(f"{cls.__name__} has no `wanted`")


class HasIt(MustHave):
    wanted = 1


def p_init_subclass_that_raises() -> list[Any]:
    try:

        class Lacking(MustHave):
            pass

    except TypeError as error:
        return [HasIt.wanted, str(error)]
    return []


class Numbered:
    _next = 0

    def __init_subclass__(cls) -> None:
        cls.number = Numbered._next
        Numbered._next += 1


class First(Numbered):
    pass


class Second(Numbered):
    pass


def p_init_subclass_does_not_run_again() -> list[Any]:
    return [First.number, Second.number, Numbered._next]


class Plugin:
    made: list[str] = []

    def __init_subclass__(cls) -> None:
        cls.made.append(cls.__name__)


class PluginA(Plugin):
    pass


class PluginB(Plugin):
    pass


def p_a_list_of_subclasses_has_each_once() -> list[str]:
    PluginA()
    PluginB()
    return Plugin.made


class Explicit:
    def cell(self) -> Any:
        return __class__

    def nested(self) -> Any:
        def inner():
            return super(__class__, self).__repr__

        return inner()

    def list_in_method(self) -> list[str]:
        return [__class__.__name__ for _ in range(2)]


def p_the_class_cell() -> list[Any]:
    one = Explicit()
    return [one.cell() is Explicit, one.nested().__name__, one.list_in_method()]


class Borrowing(Base):
    def who(self) -> list[str]:
        return ["Borrowing", *super().who()]


Bottom.borrowed = Borrowing.who


def p_super_in_a_method_moved_to_another_class() -> Any:
    try:
        return Bottom().borrowed()
    except TypeError as error:
        return str(error).split(":")[0]


class Rebased(Left):
    def who(self) -> list[str]:
        return ["Rebased", *super().who()]


Rebased.__bases__ = (Right,)


def p_a_class_with_other_bases() -> list[str]:
    return Rebased().who()


Loose = type("Loose", (Base,), {"x": 1, "get": lambda self: self.x + 1, "text": "t"})
LOOSE = Loose()


def p_a_class_made_by_type() -> list[Any]:
    return [LOOSE.get(), Loose.kind, Loose.__mro__[1] is Base, Loose.text]


def p_classes_in_containers() -> list[Any]:
    found = {cls.__name__: cls for cls in (Base, Left, Right)}
    return [found["Left"]().who(), {Base: 1, Left: 2}[Left], isinstance(Bottom(), tuple(found.values()))]


HANDLERS = {int: "int", str: "str", Base: "base", type(None): "none", list[int]: "ints"}


def p_classes_as_keys() -> list[Any]:
    return [HANDLERS[int], HANDLERS[Base], HANDLERS[type(None)], HANDLERS[list[int]]]


class Hook:
    @classmethod
    def __init_subclass__(cls, **keys: Any) -> None:
        cls.keys = keys


class Hooked(Hook, a=1, b=2):
    pass


def p_init_subclass_with_a_needless_decorator() -> Any:
    return Hooked.keys


class StrictKeys:
    def __init_subclass__(cls, *, key: str) -> None:
        cls.key = key


class WithKey(StrictKeys, key="k"):
    pass


def p_init_subclass_with_a_required_keyword() -> str:
    return WithKey().key


class Mixin:
    def extra(self) -> str:
        return f"extra {super().__thisclass__.__name__}"


class MixedIn(Mixin, Base):
    pass


def p_attributes_of_super() -> str:
    return MixedIn().extra()
