"""Finds the source of functions and lambdas in files, notebook cells and the interactive prompt."""

from __future__ import annotations
import __future__

import ast
import functools
import linecache
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .errors import NotShippable

Node = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, eq=False)
class Definition:
    """The location of a definition. Lines count from 1. Each definition has one object of this class."""

    node: Node
    file: str
    lines: list[str]
    #: Names of the functions and classes around it, the outermost first.
    path: tuple[str, ...]
    #: The qualified name that the compiler gives the code.
    qualname: str
    #: The name of the innermost class around it. Private names in its body contain this name.
    class_name: str | None
    #: True if annotations are texts, because of `from __future__ import annotations`.
    text_annotations: bool

    @property
    def first_line(self) -> int:
        """The line of the file that is line 1 of `text`."""
        return self.node.lineno

    @property
    def text(self) -> str:
        """The source, without decorators. A lambda is the expression alone."""
        if isinstance(self.node, ast.Lambda):
            return ast.get_source_segment("".join(self.lines), self.node) or ""
        return "".join(self.lines[self.node.lineno - 1 : self.node.end_lineno]).rstrip("\n") + "\n"

    @property
    def doc(self) -> str | None:
        """The docstring, as Python 3.13 and later store it."""
        if isinstance(self.node, ast.Lambda):
            return None
        doc = ast.get_docstring(self.node, clean=False)
        return None if doc is None else undented(doc)


def undented(doc: str) -> str:
    """Returns a docstring without its common indentation, as the compiler of Python 3.13 and later does."""
    first, *rest = doc.split("\n")
    margin = min((len(line) - len(line.lstrip(" ")) for line in rest if line.strip(" ")), default=0)
    return "\n".join([first.lstrip(" "), *(line[margin:] if line.strip(" ") else line.strip(" ") for line in rest)])


@functools.lru_cache(maxsize=4096)
def of(code: types.CodeType, file_globals: _Key, qualname: str) -> Definition:
    """Returns the definition of the function or lambda that has this code.

    Raises:
        NotShippable: if its source is not available, or ambiguous among lambdas on one line.
    """
    lines = linecache.getlines(code.co_filename, file_globals.globals)
    found = [(node, path) for node, path in _nodes(code.co_filename, lines) if _is_of(node, code)]
    if code.co_name == "<lambda>" and len(found) > 1:
        found = _by_position(found, code) or found
    if code.co_name == "<lambda>" and len(found) > 1:
        alike = [(node, path) for node, path in found if _same_code(node, code)]
        if len({ast.dump(node) for node, _ in alike}) == 1:
            found = alike[:1]
        else:
            raise NotShippable(
                f"line {code.co_firstlineno} of {code.co_filename} has several lambdas that cannot be distinguished",
                "give the function a name, with def",
            )
    if not lines or not found:
        raise NotShippable(
            f"the source of {qualname} is not available: {_why(code.co_filename, lines)}",
            "define it in a file or a notebook cell",
        )
    node, path = found[-1]
    classes = [scope.name for scope in path if isinstance(scope, ast.ClassDef)]
    names = tuple(scope.name for scope in path)
    as_text = bool(code.co_flags & __future__.annotations.compiler_flag)
    around = "".join(
        f"{scope.name}." if isinstance(scope, ast.ClassDef) else f"{scope.name}.<locals>." for scope in path
    )
    named = around + code.co_name
    return Definition(node, code.co_filename, lines, names, named, classes[-1] if classes else None, as_text)


def of_function(function: types.FunctionType) -> Definition:
    """Returns the definition of a function. See `of`."""
    return of(function.__code__, _Key(function.__globals__), function.__qualname__)


class _Key:
    """The globals of a function as part of a cache's key. They are used only to read source from a loader."""

    def __init__(self, globals: dict[str, object]) -> None:
        self.globals = globals

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.globals is other.globals

    def __hash__(self) -> int:
        return id(self.globals)


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


@functools.lru_cache(maxsize=64)
def _walked(tree: ast.Module) -> list[tuple[Node, tuple[_Scope, ...]]]:
    found: list[tuple[Node, tuple[_Scope, ...]]] = []
    left: list[tuple[ast.AST, tuple[_Scope, ...]]] = [(tree, ())]
    while left:
        node, path = left.pop()
        if isinstance(node, Node):
            found.append((node, path))
        inside = (*path, node) if isinstance(node, _Scope) else path
        left += [(child, inside) for child in reversed(list(ast.iter_child_nodes(node)))]
    return found


def _nodes(file: str, lines: list[str]) -> Iterator[tuple[Node, tuple[_Scope, ...]]]:
    tree = _parsed(file, "".join(lines))
    yield from _walked(tree) if tree else ()


def _is_of(node: Node, code: types.CodeType) -> bool:
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>" and node.lineno == code.co_firstlineno
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    return node.name == code.co_name and first == code.co_firstlineno


def _by_position(
    found: list[tuple[Node, tuple[_Scope, ...]]], code: types.CodeType
) -> list[tuple[Node, tuple[_Scope, ...]]]:
    """Returns the innermost lambda with all positions of the code in its body. Python 3.10 has no positions."""
    positions = [
        ((line, start), (end_line, end))
        for line, end_line, start, end in getattr(code, "co_positions", tuple)()
        if line is not None and end_line is not None and start is not None and end is not None and start != end
    ]
    if not positions:
        return []
    first, last = min(start for start, _ in positions), max(end for _, end in positions)

    def ends(node: Node) -> tuple[tuple[int, int], tuple[int, int]]:
        body: Any = node.body
        return (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)

    around = [one for one in found if ends(one[0])[0] <= first and last <= ends(one[0])[1]]
    # Of two that contain the code, the inner one begins later.
    return [max(around, key=lambda one: ends(one[0])[0])] if around else []


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
