"""Finds the free names that a definition uses."""

from __future__ import annotations

import ast
import copy
import symtable
from collections.abc import Iterator
from dataclasses import dataclass, field

from .source import Node

_OF_EVERY_MODULE = {
    "__name__",
    "__doc__",
    "__class__",
    "__builtins__",
    "__debug__",
    "__spec__",
    "__loader__",
    "__package__",
}


@dataclass
class Uses:
    """Free names of a definition."""

    #: Names that it needs.
    needed: set[str] = field(default_factory=set)
    #: Names that it needs at definition time: for decorators, default values and base classes.
    at_once: set[str] = field(default_factory=set)
    #: Names in annotations of a class, which are optional.
    wished: set[str] = field(default_factory=set)
    #: Attributes of a name that it uses: `json` and `loads` in `json.loads`.
    attributes: dict[str, set[str]] = field(default_factory=dict)
    #: Names that are also used without an attribute.
    alone: set[str] = field(default_factory=set)


def of(node: Node, without: int = 0) -> Uses:
    """Returns the free names of a definition, without its first `without` decorators."""
    stripped = copy.deepcopy(node)
    if not isinstance(stripped, ast.Lambda):
        del stripped.decorator_list[:without]
    uses = Uses()
    plain = ast.fix_missing_locations(_Stripper(uses.wished).visit(stripped))
    table = symtable.symtable(ast.unparse(plain), "?", "exec")
    uses.needed = set(_globals(table)) - _OF_EVERY_MODULE
    uses.at_once = {symbol.get_name() for symbol in table.get_symbols()} & uses.needed
    uses.wished -= uses.needed
    bases = set()
    for part in ast.walk(plain):
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
            uses.attributes.setdefault(part.value.id, set()).add(part.attr)
            bases.add(part.value)
    uses.alone = {part.id for part in ast.walk(plain) if isinstance(part, ast.Name) and part not in bases}
    return uses


def _globals(table: symtable.SymbolTable) -> Iterator[str]:
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (
            symbol.is_global() or (table.get_type() == "module" and not symbol.is_assigned())
        ):
            yield symbol.get_name()
    for child in table.get_children():
        yield from _globals(child)


class _Stripper(ast.NodeTransformer):
    """Removes annotations: the sandbox evaluates them lazily, and they often name unavailable types."""

    def __init__(self, wished: set[str]) -> None:
        self._wished = wished
        self._in_class = False

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        before, self._in_class = self._in_class, False
        self.generic_visit(node)
        self._in_class = before
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        before, self._in_class = self._in_class, True
        self.generic_visit(node)
        self._in_class = before
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if self._in_class:
            self._wished.update(part.id for part in ast.walk(node.annotation) if isinstance(part, ast.Name))
        if node.value is None:
            return ast.Pass()
        value = self.visit(node.value)
        return ast.Assign(targets=[node.target], value=value, type_comment=None)
