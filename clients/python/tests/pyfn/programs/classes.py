"""Classes: inheritance, private names, slots, and attributes set later. See `test_programs.py`."""

from __future__ import annotations

from typing import Any

REFUSED: dict[str, str] = {}
"""The refused programs, with words of the message."""


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


class Private:
    __limit = 3
    __slots__ = ("_Private__direct", "__count")

    def __init__(self) -> None:
        self.__count = 1
        self._Private__direct = 9

    def __step(self, __by: int = 2) -> int:
        self.__count += __by
        return self.__count

    def go(self) -> list[int]:
        return [self.__step(), self.__step(5), self.__limit, Private.__limit, self.__direct]


class __Hidden:
    """Its name begins with underscores, which private names leave out."""

    __value = 5

    def get(self) -> int:
        return self.__value

    def names(self) -> list[str]:
        return sorted(name for name in dir(self) if "value" in name)


HIDDEN = __Hidden()


def p_private_attributes_methods_and_slots() -> list[int]:
    return Private().go()


def p_a_class_with_underscores_has_private_names_without_them() -> list[Any]:
    return [HIDDEN.get(), HIDDEN.names()]


class ___:
    __x = 1

    def get(self) -> Any:
        try:
            return self.__x
        except AttributeError as error:
            return str(error)


def p_a_class_of_underscores_only_has_no_private_names() -> Any:
    return ___().get()


TAKEN = Private.go
STEP = Private._Private__step


def p_methods_taken_out_of_the_class_keep_private_names() -> list[Any]:
    one = Private()
    return [TAKEN(one), STEP(one, 100), STEP.__name__, STEP.__qualname__]


_Glob__hidden = 77


class Glob:
    def get(self) -> int:
        return __hidden  # noqa: F821

    def inner(self) -> int:
        def deeper() -> int:
            return __hidden + 1  # noqa: F821

        return deeper()


def p_private_names_of_globals() -> list[int]:
    return [Glob().get(), Glob().inner()]


class PrivateChild(Private):
    __slots__ = ("__count", "extra")

    def __init__(self) -> None:
        super().__init__()
        self.__count = 50
        self.extra = "e"

    def both(self) -> list[Any]:
        return [self.__count, self._Private__count, self.extra]


CHILD = PrivateChild()
CHILD.go()


def p_an_instance_with_equal_private_slots_of_two_classes() -> list[Any]:
    return CHILD.both()


class OneSlot:
    __slots__ = "only"

    def __init__(self, only: int) -> None:
        self.only = only


class DictSlots:
    __slots__ = {"a": "the a", "b": "the b"}

    def __init__(self) -> None:
        self.a = 1


class WithDict(OneSlot):
    def __init__(self) -> None:
        super().__init__(1)
        self.other = 2


class SlotsAndDict:
    __slots__ = ("__dict__", "__weakref__", "a")

    def __init__(self) -> None:
        self.a = 1
        self.b = 2


class IteratorSlots:
    __slots__ = iter(["p", "q"])

    def __init__(self) -> None:
        self.p, self.q = 1, 2


ONE, DICT_SLOTS, WITH_DICT, BOTH = OneSlot(4), DictSlots(), WithDict(), SlotsAndDict()


def _refused(thing: Any, name: str) -> bool:
    """Returns True if an attribute of this name cannot be set."""
    try:
        setattr(thing, name, 1)
    except AttributeError:
        return True
    delattr(thing, name)
    return False


def p_slots_as_one_string() -> list[Any]:
    return [ONE.only, _refused(ONE, "other"), OneSlot.__slots__]


def p_slots_as_a_dict_of_docstrings() -> list[Any]:
    return [DICT_SLOTS.a, hasattr(DICT_SLOTS, "b"), DictSlots.__slots__, DictSlots.a.__name__]


def p_a_subclass_without_slots_has_a_dict() -> list[Any]:
    return [WITH_DICT.only, vars(WITH_DICT), _refused(WITH_DICT, "more")]


def p_slots_with_a_dict() -> list[Any]:
    return [BOTH.a, vars(BOTH), _refused(BOTH, "c"), SlotsAndDict.__slots__]


def p_slots_from_an_iterator() -> list[Any]:
    made = IteratorSlots()
    return [made.p, made.q, _refused(made, "r")]


def p_an_unset_slot() -> list[str]:
    try:
        return [str(DICT_SLOTS.b)]
    except AttributeError as error:
        return [error.name, type(error).__name__]


class EmptySlots(OneSlot):
    __slots__ = ()


def p_empty_slots_of_a_subclass() -> list[Any]:
    return [_refused(EmptySlots(1), "x"), EmptySlots(2).only, EmptySlots.__slots__]


class DeletedSlot:
    __slots__ = ("kept", "taken")

    def __init__(self) -> None:
        self.kept, self.taken = 1, 2


del DeletedSlot.taken


def p_a_slot_deleted_from_its_class() -> str:
    try:
        DeletedSlot()
    except AttributeError:
        return "not there"
    return "there"


class RenamedSlot:
    __slots__ = ("raw",)


RenamedSlot.nice = RenamedSlot.raw


def p_a_slot_with_a_second_name() -> Any:
    made = RenamedSlot()
    made.raw = 4
    return made.nice


class WrappedSlot:
    __slots__ = ("raw",)

    def __init__(self) -> None:
        self.raw = 3


WRAPPED_RAW = WrappedSlot.raw
WrappedSlot.raw = property(lambda self: WRAPPED_RAW.__get__(self) * 10, WRAPPED_RAW.__set__)  # type: ignore


def p_a_slot_replaced_by_a_property_on_it() -> int:
    return WrappedSlot().raw


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
REFUSED["p_instances_of_two_classes_of_one_name"] = "there are two classes _scaled.<locals>.Scaled"


def p_instances_of_two_classes_of_one_name() -> list[int]:
    return [one.of(1) for one in BOTH_OF_ONE_NAME]


class Again:
    def text(self) -> str:
        return "first"


FirstAgain = Again


class Again(FirstAgain):  # type: ignore[no-redef]
    def text(self) -> str:
        return "second, " + super().text()


REFUSED["p_an_old_instance_beside_a_new_class"] = "there are two classes Again"
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


class Box:
    def __class_getitem__(cls, item: Any) -> str:
        return f"{cls.__name__}[{item}]"


def p_class_getitem() -> list[str]:
    return [Box[3], Box["x"]]  # type: ignore[type-arg,misc]


class Single:
    _one: Single | None = None

    def __new__(cls) -> Single:
        if cls._one is None:
            cls._one = super().__new__(cls)
            cls._one.hits = 0
        cls._one.hits += 1
        return cls._one


class MakesOther:
    def __new__(cls, x: int) -> Any:
        return [x] if x > 0 else super().__new__(cls)

    def __init__(self, x: int) -> None:
        self.x = x


def p_a_class_with_its_own_new() -> list[Any]:
    return [MakesOther(3), MakesOther(-1).x]


SINGLE = Single()
REFUSED["p_an_instance_of_a_class_with_its_own_new"] = "Single cannot be sent"


def p_an_instance_of_a_class_with_its_own_new() -> bool:
    return Single() is SINGLE


class Call:
    def __init__(self, by: int) -> None:
        self.by = by

    def __call__(self, x: int, *, more: int = 0) -> int:
        return x * self.by + more


CALL = Call(3)


def p_a_callable_instance() -> list[int]:
    return [CALL(2), CALL(2, more=1), *map(CALL, [1, 2])]


class Lazy:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.asked.append(name)
        return name.upper()


LAZY = Lazy()


def p_getattr_makes_attributes() -> list[Any]:
    LAZY.asked.clear()
    return [LAZY.red, LAZY.blue, LAZY.asked]


class Greedy:
    def __getattr__(self, name: str) -> str:
        return f"any {name}"


GREEDY = Greedy()


def p_getattr_that_answers_every_name() -> list[str]:
    return [GREEDY.x, GREEDY.__wrapped__, GREEDY._fields]


class Watching:
    def __init__(self) -> None:
        self.a = 1

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        return found + 100 if name == "a" else found


WATCHING = Watching()


def p_getattribute_does_not_change_what_is_sent() -> int:
    return WATCHING.a


class Doubling:
    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value * 2)

    def __delattr__(self, name: str) -> None:
        super().__setattr__(name, "deleted")


DOUBLING: Any = Doubling()
DOUBLING.x = 4


def p_setattr_does_not_run_again() -> list[Any]:
    made: Any = Doubling()
    made.y = 1
    del made.z
    return [DOUBLING.x, made.y, made.z]


class Frozen:
    __slots__ = ("x",)

    def __init__(self, x: int) -> None:
        object.__setattr__(self, "x", x)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name} cannot be set")


FROZEN = Frozen(3)


def p_an_instance_that_cannot_be_set() -> list[Any]:
    try:
        FROZEN.x = 4
    except AttributeError as error:
        return [FROZEN.x, str(error)]
    return []


class Point:
    def __init__(self, x: int, y: int) -> None:
        self.x, self.y = x, y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)

    def __hash__(self) -> int:
        return hash((self.x, self.y))

    def __repr__(self) -> str:
        return f"Point({self.x}, {self.y})"


PLACES = {Point(1, 2): "a", Point(3, 4): "b"}
VISITED = {Point(1, 2), Point(5, 6)}
FROZEN_PLACES = frozenset([Point(0, 0)])


def p_instances_as_keys_and_members() -> list[Any]:
    return [PLACES[Point(1, 2)], Point(3, 4) in PLACES, Point(5, 6) in VISITED, Point(0, 0) in FROZEN_PLACES]


SHARED_POINT = Point(8, 8)
KEYED = {SHARED_POINT: [SHARED_POINT]}
MEMBERS = {SHARED_POINT}


def p_a_key_that_is_shared_with_other_values() -> list[Any]:
    (key,) = KEYED
    return [KEYED[Point(8, 8)][0] is key, key is SHARED_POINT, SHARED_POINT in MEMBERS, KEYED[SHARED_POINT]]


class Loop:
    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: set[Loop] = {self}
        self.by: dict[Loop, str] = {self: name}

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Loop) and self.name == other.name


LOOP = Loop("loop")


def p_an_instance_that_is_a_member_of_its_own_set() -> list[Any]:
    return [LOOP in LOOP.seen, LOOP.by[LOOP], Loop("loop") in LOOP.seen, len(LOOP.seen)]


class Unhashable:
    def __eq__(self, other: object) -> bool:
        return True


def p_eq_without_hash() -> list[Any]:
    try:
        hash(Unhashable())
    except TypeError:
        return [Unhashable.__hash__ is None, Unhashable() == 3]
    return ["hashed"]


class Bag:
    def __init__(self, *items: Any) -> None:
        self.items = list(items)
        self.log: list[Any] = []

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Any:
        return iter(self.items)

    def __contains__(self, item: Any) -> bool:
        return item in self.items or item == "always"

    def __getitem__(self, key: Any) -> Any:
        return self.items[key] if isinstance(key, int) else ("slice", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value

    def __delitem__(self, key: int) -> None:
        del self.items[key]

    def __reversed__(self) -> Any:
        return iter(["reversed"])

    def __enter__(self) -> Bag:
        self.log.append("in")
        return self

    def __exit__(self, kind: Any, *rest: Any) -> bool:
        self.log.append(kind.__name__ if kind else None)
        return kind is KeyError


EMPTY, FULL = Bag(), Bag(1, 2, 3)


def p_containers() -> list[Any]:
    bag = Bag(*FULL)
    bag[0] = 10
    del bag[1]
    return [bool(EMPTY), len(FULL), [*bag], 3 in FULL, "always" in EMPTY, str(FULL[1:2]), [*reversed(FULL)]]


def p_a_context_manager() -> list[Any]:
    EMPTY.log.clear()
    with EMPTY as inside:
        inside.log.append("body")
    with EMPTY:
        raise KeyError(1)
    return EMPTY.log


class False_:
    def __bool__(self) -> bool:
        return False

    def __len__(self) -> int:
        return 5


class NeverTrue:
    def __bool__(self) -> bool:
        raise ValueError("neither true nor false")

    def __eq__(self, other: object) -> Any:
        return self

    def __hash__(self) -> int:
        return 1


FALSE, NEVER = False_(), NeverTrue()


def p_false_instances_are_sent_like_others(value: Any = FALSE) -> list[Any]:
    return [bool(FALSE), len(value), value is FALSE]


def p_an_instance_that_refuses_comparison(value: Any = NEVER) -> Any:
    try:
        return bool(value == 1)
    except ValueError as error:
        return [str(error), value is NEVER]


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __add__(self, other: Any) -> Any:
        return Money(self.cents + other.cents) if isinstance(other, Money) else NotImplemented

    def __radd__(self, other: Any) -> Any:
        return self if other == 0 else NotImplemented

    def __mul__(self, by: int) -> Money:
        return Money(self.cents * by)

    __rmul__ = __mul__

    def __iadd__(self, other: Money) -> Money:
        self.cents += other.cents + 1000
        return self

    def __neg__(self) -> Money:
        return Money(-self.cents)

    def __lt__(self, other: Money) -> bool:
        return self.cents < other.cents

    def __matmul__(self, other: Any) -> str:
        return f"{self.cents}@{other}"

    def __index__(self) -> int:
        return self.cents

    def __format__(self, spec: str) -> str:
        return f"<{self.cents:{spec}}>"

    def __str__(self) -> str:
        return f"{self.cents / 100:.2f}"

    def __divmod__(self, by: int) -> tuple[int, int]:
        return divmod(self.cents, by)

    def __round__(self, n: int = 0) -> str:
        return f"round {n}"


PRICES = [Money(300), Money(50)]


def p_operators() -> list[Any]:
    total = sum(PRICES)
    two = 2 * PRICES[0]
    assert isinstance(total, Money)
    total += two
    return [
        str(total),
        str(-two),
        min(PRICES).cents,
        PRICES[0] @ 4,
        [*range(60)][PRICES[1]],
        divmod(two, 7),
        round(two),
    ]


def p_formats() -> list[str]:
    return [f"{PRICES[1]:05d}", f"{PRICES[1]!s:>8}", format(PRICES[1], "x")]


def p_an_operator_that_is_not_implemented() -> Any:
    return PRICES[0] + 3


class Tree:
    def __init__(self, name: str, parent: Tree | None = None) -> None:
        self.name, self.parent, self.children = name, parent, []
        if parent is not None:
            parent.children.append(self)

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(map(repr, self.children))})"

    def path(self) -> str:
        return (self.parent.path() + "/" if self.parent else "") + self.name


ROOT = Tree("root")
LEAF = Tree("leaf", Tree("twig", ROOT))
Tree("bud", ROOT)


def p_a_tree_with_parents() -> list[Any]:
    return [repr(ROOT), LEAF.path(), LEAF.parent.parent is ROOT, ROOT.children[0].children[0] is LEAF]  # type: ignore


class Repeating:
    def __init__(self) -> None:
        self.me = [self]

    def __repr__(self) -> str:
        return f"<{self.me!r}>" if self.me else "end"


def p_a_repr_that_recurses() -> str:
    one = Repeating()
    try:
        return repr(one)
    except RecursionError:
        return "recursion"


class Counting(dict):
    def __missing__(self, key: Any) -> Any:
        self[key] = made = f"made {key}"
        return made


def p_missing_of_a_subclass_of_dict() -> list[Any]:
    made = Counting(a=1)
    return [made["a"], made["b"], dict(made)]


class Late:
    def use(self) -> str:
        return Helper().help() + CONSTANT


class Helper:
    def help(self) -> str:
        return "help "


CONSTANT = "constant"


def p_methods_use_names_defined_later() -> str:
    return Late().use()


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


class Iterating:
    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self) -> Iterating:
        return self

    def __next__(self) -> int:
        if self.n == 0:
            raise StopIteration
        self.n -= 1
        return self.n


COUNTDOWN = Iterating(4)
next(COUNTDOWN)


def p_an_iterator_keeps_its_place() -> list[int]:
    return [COUNTDOWN.n, *Iterating(COUNTDOWN.n)]


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


class GetItem:
    def __getitem__(self, i: int) -> int:
        if i > 2:
            raise IndexError
        return i * 10


def p_iteration_by_getitem() -> list[int]:
    return list(GetItem())


class Async:
    async def get(self) -> int:
        return 3

    async def __aenter__(self) -> int:
        return await self.get()

    async def __aexit__(self, *_: object) -> None:
        return None

    def __aiter__(self) -> Any:
        return self._items()

    async def _items(self) -> Any:
        yield 1
        yield 2


def p_asynchronous_methods() -> list[Any]:
    async def run() -> list[object]:
        async with Async() as got:
            return [got, [i async for i in Async()]]

    try:
        run().send(None)
    except StopIteration as done:
        return done.value
    return []


class WithDel:
    count = 0

    def __init__(self) -> None:
        self.tag = "t"


WithDel.__init__.__doc__ = "set later"
WithDel.__init__.note = [1]


def p_attributes_of_methods() -> list[Any]:
    return [WithDel.__init__.__doc__, WithDel.__init__.note, WithDel().tag]


class OwnEq:
    def __init__(self, n: int) -> None:
        self.n = n

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnEq)

    __hash__ = None

    def __ne__(self, other: object) -> bool:
        return True


def p_both_equal_and_unequal() -> list[bool]:
    return [OwnEq(1) == OwnEq(2), OwnEq(1) != OwnEq(1)]


class Match:
    __match_args__ = ("a", "b")

    def __init__(self, a: int, b: int) -> None:
        self.a, self.b = a, b


def p_patterns_with_positions() -> list[Any]:
    found = []
    for one in (Match(1, 2), Match(3, 4), 5):
        match one:
            case Match(1, b):
                found.append(b)
            case Match(a=3):
                found.append("three")
            case _:
                found.append(None)
    return found


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


class Mixin:
    def extra(self) -> str:
        return f"extra {super().__thisclass__.__name__}"


class MixedIn(Mixin, Base):
    pass


def p_attributes_of_super() -> str:
    return MixedIn().extra()


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
