"""Makes functions from their source, without evaluating decorators, default values or annotations."""

import __future__

import ast
import importlib
import inspect
import linecache
import types
from typing import Any


def file_name(number: int, name: str) -> str:
    """Returns the file name of a text in tracebacks. The client replaces it by the real file."""
    return f"<{number}:{name}>"


class Text:
    """The source of a function or lambda."""

    def __init__(
        self,
        number: int,
        kind: str,
        source: str,
        name: str,
        qualname: str,
        class_name: str | None,
        text_annotations: bool,
    ) -> None:
        self._number, self._kind, self._source, self._name, self._class_name = number, kind, source, name, class_name
        self._qualname = qualname
        # As with `from __future__ import annotations`.
        self._flags = __future__.annotations.compiler_flag if text_annotations else 0
        self._codes: dict[tuple[str, ...], types.CodeType] = {}

    def code(self, free: tuple[str, ...]) -> types.CodeType:
        """Returns the code with these free variables."""
        if free not in self._codes:
            self._codes[free] = self._compiled(free)
        return self._codes[free]

    def _compiled(self, free: tuple[str, ...]) -> types.CodeType:
        file = file_name(self._number, self._name)
        linecache.cache[file] = (len(self._source), None, self._source.splitlines(True), file)
        body: list[ast.stmt] = [self._statement(file)]
        bound = self._name
        if self._class_name is not None:
            # Private names contain the name of the class around them. The class is never made.
            around = ast.parse(f"class {self._class_name}: pass").body[0]
            around.body = body
            body, bound = [around], self._class_name
        if bound not in free and bound != "<lambda>":
            # A use of its own name is one of the global variable.
            body.insert(0, ast.Global([bound]))
        outer = ast.parse(f"def _outer({', '.join(name for name in free if name != '__class__')}): pass").body[0]
        outer.body = body
        module = ast.fix_missing_locations(ast.Module([outer], []))
        code = _inner(compile(module, file, "exec", self._flags, dont_inherit=True), "_outer")
        if self._class_name is not None:
            code = _inner(code, self._class_name)
        code = _inner(code, self._name)
        return _renamed(code, code.co_qualname, self._qualname)

    def _statement(self, file: str) -> ast.stmt:
        if self._kind == "lambda":
            made = ast.parse(f"({self._source}\n)", file, "eval").body
            _bare(made.args)
            return ast.Expr(made)
        if self._source[:1].isspace():
            # The line is one too large, because of the line before it.
            made = ast.increment_lineno(ast.parse(f"if 1:\n{self._source}", file), -1).body[0].body[0]
        else:
            made = ast.parse(self._source, file).body[0]
        made.decorator_list, made.returns = [], None
        if hasattr(made, "type_params"):
            made.type_params = []
        _bare(made.args)
        return made


def _bare(args: ast.arguments) -> None:
    """Replaces default values and removes annotations."""
    args.defaults = [ast.Constant(None) for _ in args.defaults]
    args.kw_defaults = [default and ast.Constant(None) for default in args.kw_defaults]
    for arg in [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]:
        if arg is not None:
            arg.annotation = None


def _inner(code: types.CodeType, name: str) -> types.CodeType:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType) and constant.co_name == name:
            return constant
    raise ValueError(f"{code.co_name} has no {name}")


def _renamed(code: types.CodeType, before: str, after: str) -> types.CodeType:
    """Returns the code with another beginning of its qualified name, and of those of the definitions in it."""
    if not code.co_qualname.startswith(before):
        return code
    name = after + code.co_qualname[len(before) :]
    is_class_body = not code.co_flags & inspect.CO_OPTIMIZED

    def renamed(constant: Any) -> Any:
        if isinstance(constant, types.CodeType):
            return _renamed(constant, before, after)
        # The body of a class sets its qualified name from a constant.
        return name if is_class_body and constant == code.co_qualname else constant

    return code.replace(co_qualname=name, co_consts=tuple(map(renamed, code.co_consts)))


def library_code(home: str, path: list[str]) -> types.CodeType:
    """Returns the code of a function that is nested in a function or class of a module."""
    found: Any = importlib.import_module(home)
    for name in path:
        if isinstance(found, types.CodeType):
            found = _inner(found, name)
            continue
        found = getattr(found, "__wrapped__", found)
        found = _inner(found.__code__, name) if isinstance(found, types.FunctionType) else vars(found)[name]
    found = getattr(found, "__func__", found)
    found = getattr(found, "__wrapped__", found)
    return found if isinstance(found, types.CodeType) else found.__code__


def function(
    code: types.CodeType,
    space: dict[str, Any],
    name: str,
    qualname: str,
    module: str,
    cells: dict[str, types.CellType],
) -> types.FunctionType:
    """Makes a function with these cells for its free variables."""
    missing = set(code.co_freevars) - cells.keys()
    if missing:
        raise TypeError(
            f"{qualname} has other variables here than in the client's Python: {', '.join(sorted(missing))}"
        )
    made = types.FunctionType(code, space, name, None, tuple(cells[one] for one in code.co_freevars))
    made.__qualname__, made.__module__ = qualname, module
    return made
