"""Classes: attributes, also those set later, nested classes, and classes of one name. See `test_programs.py`."""

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


class Changing:
    count = 0
    gone = "here"
    also = 1

    def old(self) -> str:
        return "old"


Changing.count = 7
del Changing.gone
Changing.new = lambda self, x=Changing.count: (self.count, x)


def later(self: Any) -> str:
    return f"later {self.count}"


Changing.later = later
Changing.alias = Changing.old
Changing.old = lambda self: "replaced"  # type: ignore[assignment,method-assign]
Changing.length = len
Changing.Other = Base
Changing.myself = Changing


def p_attributes_set_and_deleted_later() -> list[Any]:
    return [Changing.count, hasattr(Changing, "gone"), Changing.also]


def p_methods_set_later() -> list[Any]:
    one: Any = Changing()
    return [one.new(), one.later(), one.alias(), one.old(), one.length([1, 2]), one.Other.kind]


def p_names_of_methods_set_later() -> list[str]:
    names = ("new", "later", "alias", "old")
    return [f"{getattr(Changing, name).__name__} {getattr(Changing, name).__qualname__}" for name in names]


def p_a_class_that_is_its_own_attribute() -> bool:
    return Changing.myself is Changing


class Outer:
    name = "outer"

    class Inner:
        name = "inner"

        class Deep:
            def where(self) -> list[str]:
                return [Outer.name, Outer.Inner.name, type(self).__qualname__]

        def up(self) -> Outer:
            return Outer()

    default = Inner()

    def down(self) -> Outer.Inner:
        return self.Inner()


DEEP = Outer.Inner.Deep()


def p_nested_classes() -> list[Any]:
    return [DEEP.where(), Outer().down().up().default.name, Outer.default.up().name]


def _scaled(factor: int) -> Any:
    class Scaled:
        rate = factor

        def of(self, x: int) -> int:
            return x * factor

        def again(self) -> Any:
            return Scaled()

        def __repr__(self) -> str:
            return f"Scaled({factor})"

    return Scaled


class Two(_scaled(2)):
    def of(self, x: int) -> int:
        return 100 + super().of(x)


TWO = Two()


def p_a_class_of_a_function_with_a_closure() -> list[Any]:
    return [TWO.of(4), repr(TWO), repr(TWO.again()), Two.rate, Two.__bases__[0].__qualname__]


THREE, FOUR = _scaled(3), _scaled(4)
BOTH_OF_ONE_NAME = [THREE(), FOUR()]


def p_instances_of_two_classes_of_one_name() -> list[int]:
    return [one.of(1) for one in BOTH_OF_ONE_NAME]


class Again:
    def text(self) -> str:
        return "first"


FirstAgain = Again


class Again(FirstAgain):  # type: ignore[no-redef]
    def text(self) -> str:
        return "second, " + super().text()


AGAIN = Again()
OLD_AGAIN = FirstAgain()


def p_a_class_that_replaces_its_base() -> list[Any]:
    return [AGAIN.text(), type(AGAIN) is Again, FirstAgain().text(), Again().text()]


def p_an_old_instance_beside_a_new_class() -> list[Any]:
    return [OLD_AGAIN.text(), isinstance(OLD_AGAIN, Again), Again().text()]


def p_two_classes_of_one_function() -> list[Any]:
    return [THREE().of(1), FOUR().of(1), THREE is FOUR, THREE.rate, FOUR.rate]


def _counted() -> tuple[Any, Any]:
    total = 0

    class Counted:
        def add(self) -> int:
            nonlocal total
            total += 1
            return total

    def get() -> int:
        return total

    return Counted, get


COUNTED, GET = _counted()
COUNTED().add()


def p_a_class_and_a_function_share_a_variable() -> list[int]:
    start = GET()
    return [COUNTED().add() - start, COUNTED().add() - start, GET() - start]


class Node:
    def __init__(self, children: tuple[Node, ...] = ()) -> None:
        self.children = children

    def size(self: Node, depth: int = 0) -> int:
        return 1 + sum(Node.size(child, depth + 1) for child in self.children)


def _copied(self: Node, cls: type[Node] = Node) -> Node:
    return cls(self.children)


Node.copied = _copied
Node.empty = Node()
Node.all = {"one": Node((Node(),)), "class": Node}


def p_a_class_in_the_default_value_of_its_method() -> int:
    return Node((Node(),)).copied().size()


def p_instances_of_a_class_as_its_attributes() -> list[Any]:
    space: Any = Node
    return [space.empty.size(), space.all["one"].size(), space.all["class"] is Node, type(space.empty) is Node]


class Point:
    def __init__(self, x: int, y: int) -> None:
        self.x, self.y = x, y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)

    def __hash__(self) -> int:
        return hash((self.x, self.y))

    def __repr__(self) -> str:
        return f"Point({self.x}, {self.y})"


class Late:
    def use(self) -> str:
        return Helper().help() + CONSTANT


class Helper:
    def help(self) -> str:
        return "help "


CONSTANT = "constant"


def p_methods_use_names_defined_later() -> str:
    return Late().use()


class Documented:
    """The docstring of a class."""

    def method(self) -> None:
        """The docstring of a method."""


class Redocumented:
    """Before."""


Redocumented.__doc__ = "After."


class Undocumented(Documented):
    pass


def p_docstrings_of_classes() -> list[Any]:
    return [Documented.__doc__, Documented.method.__doc__, Redocumented.__doc__, Undocumented.__doc__]


class Renamed:
    pass


Renamed.__name__, Renamed.__qualname__ = "Other", "Some.Other"


def p_a_class_with_another_name() -> list[str]:
    return [Renamed.__name__, Renamed.__qualname__, type(Renamed()).__name__]


class Comprehending:
    size = 3
    squares = [i * i for i in range(4)]
    table = {i: [j for j in range(i)] for i in range(size)}
    add = [lambda self, k=k: k for k in range(3)][1]


def p_class_bodies_with_comprehensions() -> list[Any]:
    return [Comprehending.squares, Comprehending.table, Comprehending().add()]


class Conditional:
    if CONSTANT == "constant":

        def chosen(self) -> str:
            return "first"

    else:

        def chosen(self) -> str:
            return "second"

    for _name in ("a", "b"):
        locals()[f"at_{_name}"] = _name


def p_class_bodies_with_statements() -> list[Any]:
    return [Conditional().chosen(), Conditional.at_a, Conditional._name]


class Annotated_:
    x: int
    y: Point = Point(1, 1)
    z: list[Point] = []


def p_annotations_of_a_class() -> list[Any]:
    return [sorted(Annotated_.__annotations__), Annotated_.y.x, [str(a) for a in Annotated_.__annotations__.values()]]


class WithDel:
    count = 0

    def __init__(self) -> None:
        self.tag = "t"


WithDel.__init__.__doc__ = "set later"
WithDel.__init__.note = [1]


def p_attributes_of_methods() -> list[Any]:
    return [WithDel.__init__.__doc__, WithDel.__init__.note, WithDel().tag]


class UsesSelf:
    def method(self) -> list[str]:
        return [UsesSelf.__name__, type(self).other(), self.CONSTANT]

    CONSTANT = "c"

    @staticmethod
    def other() -> str:
        return UsesSelf.CONSTANT * 2


METHOD = UsesSelf().method
STATIC = UsesSelf.other


def p_bound_methods_as_globals() -> list[Any]:
    return [METHOD(), STATIC(), METHOD.__self__.CONSTANT, Base.make.__self__ is Base]


class Weird:
    pass


setattr(Weird, "not an identifier", 1)
Weird.ключ = "значение"
setattr(Weird, "$tag", "dollar")


def p_odd_names_of_attributes() -> list[Any]:
    return [getattr(Weird, name) for name in ("not an identifier", "ключ", "$tag")]


def p_the_order_of_attributes() -> list[str]:
    return [name for name in vars(Changing) if not name.startswith("__")]


class Shadow:
    list = [1, 2]

    def get(self) -> Any:
        return list("ab")

    def print(self) -> Any:
        return self.list


def p_class_attributes_do_not_hide_globals() -> list[Any]:
    return [Shadow().get(), Shadow().print()]


class DocProperty:
    @property
    def __doc__(self) -> str:
        return f"of {type(self).__name__}"


def p_a_property_as_docstring() -> list[Any]:
    return [DocProperty().__doc__, isinstance(DocProperty.__doc__, property)]


REFUSED = {
    "p_instances_of_two_classes_of_one_name": "there are two classes _scaled.<locals>.Scaled",
    "p_an_old_instance_beside_a_new_class": "there are two classes Again",
}
