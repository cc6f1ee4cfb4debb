"""Exceptions, own and built in, raised and as values. See `test_programs.py`."""

from __future__ import annotations

from typing import Any


class Simple(Exception):
    """A simple exception."""


class WithArguments(Exception):
    def __init__(self, code: int, message: str = "failed") -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class Keywords(ValueError):
    def __init__(self, *, reason: str, items: list[int]) -> None:
        self.reason, self.items = reason, items

    def __str__(self) -> str:
        return f"because of {self.reason} in {self.items}"


class NoSuper(Exception):
    def __init__(self, x: int) -> None:
        self.x = x


class Child(WithArguments):
    def __str__(self) -> str:
        return f"child {self.code} {super().__str__()}"

    def __repr__(self) -> str:
        return "Child()"


class Slotted(Exception):
    __slots__ = ("extra",)

    def __init__(self, extra: int) -> None:
        super().__init__("slotted")
        self.extra = extra


class Missing(KeyError):
    pass


class Coded(LookupError, WithArguments):
    default = 4

    def __init__(self) -> None:
        WithArguments.__init__(self, self.default)


class OwnNew(Exception):
    def __new__(cls, *args: Any) -> OwnNew:
        made = super().__new__(cls, *args)
        made.made = True  # type: ignore[attr-defined]
        return made


class FileError(OSError):
    pass


class Stop(SystemExit):
    pass


def _caught(function: Any, *args: Any) -> list[Any]:
    try:
        return ["value", function(*args)]
    except BaseException as error:
        return [type(error).__name__, str(error), list(error.args), vars(error)]


def p_raises_a_simple_exception() -> None:
    raise Simple("text", 1, [2])


def p_raises_with_extra_arguments() -> None:
    raise WithArguments(7)


def p_raises_with_keywords() -> None:
    raise Keywords(reason="r", items=[1])


def p_raises_without_super() -> None:
    raise NoSuper(3)


def p_raises_a_child() -> None:
    raise Child(1, "m")


def p_raises_with_slots() -> None:
    raise Slotted(4)


def p_raises_a_missing_key() -> None:
    raise Missing("key")


def p_raises_with_two_bases() -> None:
    raise Coded


def p_raises_with_own_new() -> None:
    raise OwnNew("n")


def p_raises_a_file_error() -> None:
    raise FileError(2, "not there", "name.txt")


def p_raises_a_class() -> None:
    raise Simple


def p_raises_a_built_in_exception() -> None:
    {}["missing"]


def p_raises_a_unicode_error() -> None:
    b"\xff\xfe".decode("ascii")


def p_raises_a_division() -> float:
    return 1 / 0


def p_raises_an_assertion() -> None:
    assert [] == [1], ("text", 3)


def _there(function: Any) -> Any:
    return _caught(function)


def p_all_exceptions_are_caught_there() -> list[Any]:
    calls = [p_raises_a_simple_exception, p_raises_with_extra_arguments, p_raises_with_keywords, p_raises_without_super]
    more = [
        p_raises_a_child,
        p_raises_with_slots,
        p_raises_a_missing_key,
        p_raises_with_two_bases,
        p_raises_with_own_new,
    ]
    return [_caught(call) for call in [*calls, *more]]


def p_a_file_error_there() -> list[Any]:
    try:
        raise FileError(2, "not there", "name.txt")
    except OSError as error:
        return [
            error.errno,
            error.strerror,
            error.filename,
            str(error),
            type(error).__name__,
            isinstance(error, FileNotFoundError),
        ]


def p_chains_there() -> list[Any]:
    try:
        try:
            raise Simple("first")
        except Simple as first:
            raise WithArguments(2) from first
    except WithArguments as error:
        return [str(error.__cause__), error.__suppress_context__, type(error.__context__).__name__]


def p_chains_of_contexts() -> None:
    try:
        raise Simple("first")
    except Simple:
        raise Keywords(reason="second", items=[])  # noqa: B904


def p_system_exit_there() -> list[Any]:
    return _caught(lambda: (_ for _ in ()).throw(Stop(3)))


ERROR = Simple("made here", 2)
ERROR_WITH = WithArguments(5, "made here")
KEY_ERROR = KeyError("key")
OS_ERROR = OSError(13, "denied", "f.txt")
UNICODE = UnicodeDecodeError("ascii", b"\xff", 0, 1, "ordinal")
NO_SUPER = NoSuper(9)
CHAINED = Simple("outer")
CHAINED.__cause__ = ValueError("inner")
ERRORS = [ValueError(1), ValueError, Simple]


def p_an_own_exception_as_global() -> list[Any]:
    return [str(ERROR), ERROR.args, type(ERROR) is Simple]


def p_an_own_exception_with_attributes_as_global() -> list[Any]:
    return [str(ERROR_WITH), ERROR_WITH.code, ERROR_WITH.message]


def p_an_own_exception_without_super_as_global() -> list[Any]:
    return [NO_SUPER.x, NO_SUPER.args]


def p_built_in_exceptions_as_globals() -> list[Any]:
    return [str(KEY_ERROR), KEY_ERROR.args, str(OS_ERROR), OS_ERROR.filename, OS_ERROR.errno, type(OS_ERROR).__name__]


def p_a_unicode_error_as_global() -> list[Any]:
    return [str(UNICODE), UNICODE.start, UNICODE.object, UNICODE.reason]


def p_a_chained_exception_as_global() -> Any:
    return [str(CHAINED), repr(CHAINED.__cause__)]


def p_exception_classes_in_lists() -> list[Any]:
    return [str(ERRORS[0]), _caught(ERRORS[2], "x")[0], ERRORS[1]("v").args]  # type: ignore[operator,misc]


def p_raises_a_global_exception() -> None:
    raise ERROR_WITH


RETRIED = (Missing, WithArguments, TimeoutError)


def p_a_global_tuple_of_exceptions() -> str:
    try:
        raise Coded
    except RETRIED as error:
        return type(error).__name__


class Base(Exception):
    registry: dict[int, type[Base]] = {}
    code = 0

    def __init_subclass__(cls, code: int = 0, **keys: Any) -> None:
        super().__init_subclass__(**keys)
        cls.code = code
        Base.registry[code] = cls

    @classmethod
    def of(cls, code: int) -> Base:
        return cls.registry.get(code, cls)(f"code {code}")


class NotFound(Base, code=404):
    pass


def p_a_registry_of_exceptions() -> list[Any]:
    return [type(Base.of(404)).__name__, Base.of(404).code, str(Base.of(1)), type(Base.of(1)).__name__]


def p_raises_from_a_registry() -> None:
    raise Base.of(404)


class Attributed(Exception):
    @property
    def doubled(self) -> int:
        return self.args[0] * 2  # type: ignore[no-any-return]


def p_raises_with_a_property() -> None:
    raise Attributed(4)


def p_a_property_of_an_exception() -> int:
    try:
        raise Attributed(4)
    except Attributed as error:
        return error.doubled


class WithDict(Exception):
    def __init__(self, text: str, **more: Any) -> None:
        super().__init__(text)
        self.__dict__.update(more)


def p_raises_with_many_attributes() -> None:
    raise WithDict("t", a=1, b=[2], c={"d": (3,)})


def p_warnings_of_own_classes() -> list[Any]:
    import warnings

    class Local(UserWarning):
        pass

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        warnings.warn("text", Local, stacklevel=1)
    return [found[0].category.__name__, str(found[0].message)]
