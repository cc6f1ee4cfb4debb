"""Attributes of functions: set later, docstrings, names, and what `inspect` finds. See `test_programs.py`."""

# fmt: off

import inspect
from typing import Any


def counted():
    counted.calls += 1
    return counted.calls


counted.calls = 0


def p_a_function_counts_its_calls() -> Any:
    counted.calls = 0
    counted()
    return counted()


def tagged(x):
    """One line."""
    return x


tagged.tags = ["a", {"b": (1, 2)}]
tagged.me = tagged
tagged.helper = lambda x: tagged.tags[x]
tagged.nothing = None
setattr(tagged, "not a name", 1)
SAME_TAGS = tagged.tags


def p_attributes_of_many_kinds() -> Any:
    return (
        tagged.me is tagged,
        tagged.helper(0),
        tagged.nothing,
        vars(tagged)["not a name"],
        tagged.tags is SAME_TAGS,
        sorted(vars(tagged)),
    )


def documented(x):
    """First line.

        Indented more.
    Indented less.

    >>> documented(1)
    'lambda x: x'
    """
    return x


def documented_oddly():
    """\tTabs\tinside
	and	before.
      \\escapes\\ \x41
    """
    return 1


def joined_doc():
    "one" " two" """ three"""
    return 1


def no_doc():
    f"not a docstring {1}"  # noqa: B021


def only_doc():
    """Only."""


def p_docstrings() -> Any:
    found = [inspect.getdoc(f) for f in (documented, joined_doc, no_doc, only_doc, tagged)]
    return found, only_doc(), joined_doc.__doc__


def p_a_docstring_with_tabs() -> Any:
    return inspect.getdoc(documented_oddly)


def doc_changed():
    """Before."""


def doc_removed():
    """Before."""


def doc_added():
    return 1


doc_changed.__doc__ = "After {}.".format("all")
doc_removed.__doc__ = None
doc_added.__doc__ = """
    Added, indented.
    """


def p_docstrings_that_changed() -> Any:
    return doc_changed.__doc__, doc_removed.__doc__, doc_added.__doc__


def doc_number():
    """Text."""


doc_number.__doc__ = 5


def p_a_docstring_that_is_a_number() -> Any:
    return doc_number.__doc__


def renamed():
    def inner():
        return "renamed"

    return inner


renamed.__name__ = "other_name"
renamed.__qualname__ = "Other.name"
renamed.__module__ = "other.module"


def p_names_that_changed() -> Any:
    return renamed.__name__, renamed.__qualname__, renamed.__module__, renamed()()


def p_an_error_has_the_changed_name() -> Any:
    try:
        renamed(1)
    except TypeError as error:
        return str(error)


def p_qualified_names_inside_a_function_with_a_changed_name() -> Any:
    return renamed().__qualname__


def without_module():
    return 1


without_module.__module__ = None


def p_a_function_without_a_module() -> Any:
    return without_module.__module__, without_module()


def parameters(a, /, b, *c, d=1, **e):
    return None


def p_the_parameters_of_a_function() -> Any:
    found = inspect.signature(parameters)
    kinds = [(p.name, p.kind.name) for p in found.parameters.values()]
    return str(found), kinds, inspect.getfullargspec(parameters)[:4]


def p_parts_of_the_code_of_a_function() -> Any:
    code = parameters.__code__
    return (
        code.co_name,
        code.co_varnames,
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        parameters.__kwdefaults__,
        parameters.__defaults__,
    )


def signed(*args):
    return args


signed.__signature__ = inspect.Signature([inspect.Parameter("x", inspect.Parameter.POSITIONAL_ONLY, default=3)])


def p_a_signature_that_was_set() -> Any:
    return str(inspect.signature(signed)), signed(1)


def source_of(x):
    # A comment.
    return x + 1  # Another.


def p_the_source_of_a_function() -> Any:
    return inspect.getsource(source_of)


def kinds():
    yield 1


async def akind():
    return 1


async def agen():
    yield 1


def p_kinds_of_functions() -> Any:
    return (
        inspect.isgeneratorfunction(kinds),
        inspect.iscoroutinefunction(akind),
        inspect.isasyncgenfunction(agen),
        inspect.isfunction(kinds),
        callable(kinds),
        inspect.ismethod(kinds),
    )


def annotated(a: int, b: "str" = "x", *c: float) -> list:
    return [a, b, c]


def p_annotations_of_a_function() -> Any:
    return sorted(annotated.__annotations__)


def chained(x):
    chained.last, before = x, getattr(chained, "last", None)
    return before


chained.last = "never"


def p_an_attribute_keeps_the_last_argument() -> Any:
    chained.last = "never"
    return chained(1), chained(2), chained.last


class Machine:
    def run(self):
        return self.run.label, Machine.run.label

    run.label = ["in class"]

    def state(self):
        return self.handlers["a"](self)

    def _a(self):
        return "state a"

    handlers = {"a": _a}


Machine.state.added = "later"


def p_attributes_of_methods() -> Any:
    one = Machine()
    return one.run()[0] is one.run()[1], one.state(), one.state.added, Machine.state.__qualname__


swapped = lambda x: ("lambda", x)  # noqa: E731


def replaced(x):
    return "def", x


replaced.__code__ = tagged.__code__


def p_a_function_whose_code_was_replaced() -> Any:
    return replaced(1), swapped(2), replaced.__name__


def weak(x):
    return x


weak.table = {weak: 1, "f": {weak, len}}


def p_functions_as_keys_and_members() -> Any:
    return weak.table[weak], weak in weak.table["f"], len in weak.table["f"]


def builtin_names():
    return [len.__name__, str.join.__qualname__, builtin_names.__class__.__name__, type(builtin_names).__name__]


def p_names_of_builtins() -> Any:
    return builtin_names()
