"""Extracts the source of functions, lambdas and classes from files, notebook cells and the interactive prompt."""

from __future__ import annotations

import ast
import functools
import linecache
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass

from .errors import NotShippable

Node = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda

LAMBDA = "__lambda"
"""Name of a lambda in its extracted source."""
MAKE = "__make"
"""Name of the wrapper function of a definition that has free variables or was indented."""


@dataclass(frozen=True)
class Definition:
    """The location of a definition. Lines count from 1."""

    node: Node
    file: str
    lines: list[str]

    @property
    def name(self) -> str:
        """The name that the source defines."""
        return LAMBDA if isinstance(self.node, ast.Lambda) else self.node.name


@dataclass(frozen=True)
class Text:
    """Self-contained source: executing it defines `name`, or the function `MAKE` if `wrapped`."""

    name: str
    source: str
    #: The line of the file that is line 1 of `source`.
    first_line: int
    wrapped: bool


def of_function(function: types.FunctionType) -> Definition:
    """Returns the definition of a function or lambda.

    Raises:
        NotShippable: if its source is not available, or ambiguous among lambdas on one line.
    """
    code = function.__code__
    lines = _lines(code.co_filename, function.__globals__)
    found = [node for node in _nodes(code.co_filename, lines) if _is_of(node, code)]
    if code.co_name == "<lambda>" and len(found) > 1:
        alike = [node for node in found if _same_code(node, code)]
        if len({ast.dump(node) for node in alike}) == 1:
            found = alike[:1]
        else:
            raise NotShippable(
                f"line {code.co_firstlineno} of {code.co_filename} has several lambdas that cannot be distinguished",
                "give the function a name, with def",
            )
    if not lines or not found:
        raise NotShippable(
            f"the source of {function.__qualname__} is not available: {_why(code.co_filename, lines)}",
            "define it in a file or a notebook cell",
        )
    return Definition(found[-1], code.co_filename, lines)


def of_class(cls: type) -> Definition:
    """Returns the definition of a class.

    Raises:
        NotShippable: if its source is not available.
    """
    module = sys.modules.get(cls.__module__)
    space = vars(module) if module else {}
    wanted = [part for part in cls.__qualname__.split(".") if part != "<locals>"]
    for file in _files_of(cls, space):
        lines = _lines(file, space)
        found = [node for path, node in _classes(file, lines) if path == wanted]
        first = getattr(cls, "__firstlineno__", None)
        exact = [n for n in found if min([n.lineno, *(d.lineno for d in n.decorator_list)]) == first]
        if found:
            return Definition((exact or found)[-1], file, lines)
    raise NotShippable(
        f"the source of the class {cls.__qualname__} is not available", "define it in a file or a notebook cell"
    )


def cut(definition: Definition, free: list[str], without: int = 0) -> Text:
    """Returns the source of a definition, without its first `without` decorators. `free` are its free variables."""
    node = definition.node
    if isinstance(node, ast.Lambda):
        expression = ast.get_source_segment("".join(definition.lines), node)
        if free:
            return Text(MAKE, f"def {MAKE}({', '.join(free)}):\n return ({expression}\n)\n", node.lineno - 1, True)
        return Text(LAMBDA, f"{LAMBDA} = ({expression}\n)\n", node.lineno, False)
    decorators = node.decorator_list[without:]
    first = min([node.lineno, *(d.lineno for d in decorators)])
    body = "".join(definition.lines[first - 1 : node.end_lineno]).rstrip("\n") + "\n"
    indent = definition.lines[first - 1][: node.col_offset]
    if not indent and not free:
        return Text(node.name, body, first, False)
    inner = indent or " "
    source = f"def {MAKE}({', '.join(free)}):\n{body}{inner}return {node.name}\n"
    return Text(MAKE, source, first - 1, True)


def _lines(file: str, space: dict[str, object]) -> list[str]:
    return linecache.getlines(file, space)


def _why(file: str, lines: list[str]) -> str:
    if lines:
        return f"{file} has changed since it was imported"
    if file.startswith("<"):
        return "it was typed into a prompt that keeps no source, or created by exec"
    return f"{file} cannot be read"


@functools.lru_cache(maxsize=64)
def _parsed(file: str, text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return None


def _nodes(file: str, lines: list[str]) -> Iterator[Node]:
    tree = _parsed(file, "".join(lines))
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, Node):
            yield node


def _is_of(node: Node, code: types.CodeType) -> bool:
    if isinstance(node, ast.ClassDef):
        return False
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>" and node.lineno == code.co_firstlineno
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    return node.name == code.co_name and first == code.co_firstlineno


def _same_code(node: Node, code: types.CodeType) -> bool:
    """Returns True if a lambda compiles to this code. Free variables are compared by name."""
    outer = f"def outer({', '.join(code.co_freevars)}):\n return {ast.unparse(node)}"
    module = compile(outer, "?", "exec", dont_inherit=True)
    for function in module.co_consts:
        if isinstance(function, types.CodeType):
            for inner in function.co_consts:
                if isinstance(inner, types.CodeType) and inner.co_name == "<lambda>":
                    mine, other = ((c.co_code, c.co_names, c.co_varnames, c.co_freevars) for c in (inner, code))
                    return mine == other and _constants(inner) == _constants(code)
    return False


def _constants(code: types.CodeType) -> list[object]:
    return [c.co_code if isinstance(c, types.CodeType) else (type(c), c) for c in code.co_consts]


def _files_of(cls: type, space: dict[str, object]) -> Iterator[str]:
    """Yields files that may define a class, the likeliest first."""
    for value in vars(cls).values():
        function = inspect_function(value)
        if function is not None and not function.__code__.co_filename.startswith("<string>"):
            yield function.__code__.co_filename
    named = space.get("__file__")
    if isinstance(named, str):
        yield named
    # Cells and prompts have no module file. The last one that defines the name is used, as in execution.
    yield from [file for file, entry in reversed(linecache.cache.items()) if len(entry) > 1 and entry[1] is None]


def inspect_function(value: object) -> types.FunctionType | None:
    """Returns the function of a method, a static or class method, or a property."""
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if isinstance(value, property):
        value = value.fget
    value = getattr(value, "__wrapped__", value)
    return value if isinstance(value, types.FunctionType) else None


def _classes(file: str, lines: list[str]) -> Iterator[tuple[list[str], ast.ClassDef]]:
    tree = _parsed(file, "".join(lines))

    def walk(node: ast.AST, path: list[str]) -> Iterator[tuple[list[str], ast.ClassDef]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                yield [*path, child.name], child
            named = isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            yield from walk(child, [*path, child.name] if named else path)  # type: ignore[attr-defined]

    if tree:
        yield from walk(tree, [])
