"""Finds the global names and the imports that a function uses."""

from __future__ import annotations

import ast
import copy
import functools
import symtable
from collections.abc import Iterator
from dataclasses import dataclass, field

from .source import Definition, Node

_OF_EVERY_MODULE = {
    "__name__",
    "__class__",
    "__builtins__",
    "__debug__",
    "__spec__",
    "__loader__",
    "__package__",
}


@dataclass
class Uses:
    """The global names that a function uses when it is called."""

    #: Names that it needs.
    needed: set[str] = field(default_factory=set)
    #: Variables of enclosing functions that it needs.
    free: set[str] = field(default_factory=set)
    #: Names in annotations of classes and functions in its body, which are optional.
    optional: set[str] = field(default_factory=set)
    #: Attributes of a name that it uses: `path` and `path.join` of `os` in `os.path.join`.
    attributes: dict[str, set[str]] = field(default_factory=dict)
    #: Names that are also used without an attribute.
    alone: set[str] = field(default_factory=set)
    #: Modules that it imports, except in `try`.
    imports: set[str] = field(default_factory=set)


@functools.lru_cache(maxsize=4096)
def of(definition: Definition, free: tuple[str, ...]) -> Uses:
    """Returns the global names of a function with these free variables. Its decorators, default values and annotations
    do not count: their values exist already."""
    uses = Uses()
    plain = _Stripper(uses.optional).visit(_bare(definition.node))
    body: list[ast.stmt] = [ast.Expr(plain) if isinstance(plain, ast.Lambda) else plain]
    bound = None if isinstance(plain, ast.Lambda) else plain.name
    if definition.class_name is not None:
        # Private names contain the name of the class around them.
        bound = definition.class_name
        around = ast.parse(f"class {bound}: pass")
        around.body[0].body = body  # type: ignore[attr-defined]
        body = around.body
    if bound is not None and bound not in free:
        body = [ast.Global([bound]), *body]
    outer = ast.parse(f"def _outer({', '.join(name for name in free if name != '__class__')}): pass")
    outer.body[0].body = body  # type: ignore[attr-defined]
    text = ast.unparse(ast.fix_missing_locations(outer))
    every: set[str] = set()
    for symbol in _symbols(symtable.symtable(text, "?", "exec")):
        if symbol.is_global():
            every.add(symbol.get_name())
        if symbol.is_global() and symbol.is_referenced():
            uses.needed.add(symbol.get_name())
        elif symbol.is_free() and symbol.get_name() in free:
            uses.free.add(symbol.get_name())
    uses.needed |= _changed(plain) & every
    uses.needed -= _OF_EVERY_MODULE
    uses.optional -= uses.needed
    bases = set()
    for part in ast.walk(plain):
        if isinstance(part, ast.Attribute):
            name, *path = ast.unparse(part).split(".") if _is_path(part) else [""]
            if name:
                uses.attributes.setdefault(name, set()).add(".".join(path))
            if isinstance(part.value, ast.Name):
                bases.add(part.value)
    uses.alone = {part.id for part in ast.walk(plain) if isinstance(part, ast.Name) and part not in bases}
    uses.imports = set(_imports(plain))
    return _mangled(uses, definition.class_name)


def _bare(node: Node) -> Node:
    bare = copy.deepcopy(node)
    if not isinstance(bare, ast.Lambda):
        bare.decorator_list, bare.returns = [], None
    args = bare.args
    for arg in [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]:
        if arg is not None:
            arg.annotation = None
    bare.args.defaults = [ast.Constant(None) for _ in bare.args.defaults]
    bare.args.kw_defaults = [default and ast.Constant(None) for default in bare.args.kw_defaults]
    return bare


def _mangled(uses: Uses, class_name: str | None) -> Uses:
    """Renames private names as the compiler does inside a class."""
    prefix = (class_name or "").lstrip("_")
    if not prefix:
        return uses

    def real(name: str) -> str:
        return f"_{prefix}{name}" if name.startswith("__") and not name.endswith("__") else name

    return Uses(
        needed=uses.needed,
        free=uses.free,
        optional=set(map(real, uses.optional)),
        attributes={real(name): set(map(real, found)) for name, found in uses.attributes.items()},
        alone=set(map(real, uses.alone)),
        imports=uses.imports,
    )


def _is_path(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and _is_path(node.value))


def _changed(node: ast.AST) -> set[str]:
    """Returns the names that are changed with `+=` and the like, or deleted: they need a value first."""
    targets: list[ast.expr] = [part.target for part in ast.walk(node) if isinstance(part, ast.AugAssign)]
    targets += [target for part in ast.walk(node) if isinstance(part, ast.Delete) for target in part.targets]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _symbols(table: symtable.SymbolTable) -> Iterator[symtable.Symbol]:
    yield from table.get_symbols()
    for child in table.get_children():
        yield from _symbols(child)


def _imports(node: ast.AST) -> Iterator[str]:
    # An import in `try` has an alternative.
    if isinstance(node, ast.Try):
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module
    for child in ast.iter_child_nodes(node):
        yield from _imports(child)


class _Stripper(ast.NodeTransformer):
    """Removes annotations: the sandbox evaluates them lazily, and they often name unavailable types."""

    def __init__(self, optional: set[str]) -> None:
        self._optional = optional
        self._in_class = False

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        self._collect(node.returns)
        node.returns = None
        before, self._in_class = self._in_class, False
        self.generic_visit(node)
        self._in_class = before
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        self._collect(node.annotation)
        node.annotation = None
        return node

    def _collect(self, annotation: ast.expr | None) -> None:
        if annotation is not None:
            self._optional.update(part.id for part in ast.walk(annotation) if isinstance(part, ast.Name))

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        before, self._in_class = self._in_class, True
        self.generic_visit(node)
        self._in_class = before
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if self._in_class:
            self._collect(node.annotation)
        if node.value is None:
            return ast.Pass()
        value = self.visit(node.value)
        return ast.Assign(targets=[node.target], value=value, type_comment=None)
