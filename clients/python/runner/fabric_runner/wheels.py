"""Imports modules from the wheels in a bundle, in memory, since the sandbox has no files."""

import binascii
import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.resources.abc
import importlib.util
import io
import marshal
import sys
import zipfile
from collections.abc import Iterable, Iterator
from types import CodeType, ModuleType
from typing import Any

_ROOT = "/packages/"
_MAGIC = importlib.util.MAGIC_NUMBER
"""Marks the code of this Python. Other code is ignored."""


class _Resources(importlib.resources.abc.TraversableResources):
    def __init__(self, folder: zipfile.Path) -> None:
        self._folder = folder

    def files(self) -> zipfile.Path:
        return self._folder


class _Loader(importlib.abc.InspectLoader):
    def __init__(self, finder: "WheelFinder", path: str, package: bool) -> None:
        self._finder, self._path, self._package = finder, path, package

    def is_package(self, fullname: str) -> bool:
        return self._package

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(self._finder.read(self._path))

    def get_code(self, fullname: str) -> CodeType:
        return self._finder.code(self._path)

    def get_filename(self, fullname: str) -> str:
        return _ROOT + self._path

    def get_data(self, path: str) -> bytes:
        return self._finder.read(path.removeprefix(_ROOT))

    def get_resource_reader(self, fullname: str) -> _Resources | None:
        return _Resources(self._finder.folder_of(self._path)) if self._package else None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.get_code(module.__name__), module.__dict__)


class _Distribution(importlib.metadata.Distribution):
    def __init__(self, finder: "WheelFinder", info: str) -> None:
        self._finder, self._info = finder, info

    def read_text(self, filename: str) -> str | None:
        path = f"{self._info}/{filename}"
        return self._finder.read(path).decode() if self._finder.has(path) else None

    def locate_file(self, path: Any) -> Any:
        return _ROOT + str(path)


def _archive(code: bytes) -> zipfile.ZipFile | None:
    """Returns the archive of `code_of`, or None for the code of another Python and for anything else."""
    if not code.startswith(_MAGIC):
        return None
    try:
        return zipfile.ZipFile(io.BytesIO(code[len(_MAGIC) :]))
    except zipfile.BadZipFile:
        return None


class WheelFinder(importlib.abc.MetaPathFinder):
    """Finds modules in wheels, after the standard library.

    Args:
        wheels: Wheels in base64.
        code: What `code_of` returned for the same wheels.
    """

    def __init__(self, wheels: Iterable[str], code: bytes = b"") -> None:
        #: Code that was compiled here, by path.
        self.made: dict[str, CodeType] = {}
        self._known = _archive(code)
        self._known_paths = frozenset(self._known.namelist() if self._known else ())
        self._files: dict[str, zipfile.ZipFile] = {}
        for text in wheels:
            archive = zipfile.ZipFile(io.BytesIO(binascii.a2b_base64(text)))
            for name in archive.namelist():
                self._files.setdefault(name, archive)
        self._folders = {name[: i + 1] for name in self._files for i, c in enumerate(name) if c == "/"}

    def has(self, path: str) -> bool:
        return path in self._files

    def read(self, path: str) -> bytes:
        if path not in self._files:
            raise FileNotFoundError(path)
        return self._files[path].read(path)

    def code(self, path: str) -> CodeType:
        """Returns the code of a module."""
        if self._known is not None and path in self._known_paths:
            known: CodeType = marshal.loads(self._known.read(path))
            return known
        made = self.made[path] = compile(self.read(path), _ROOT + path, "exec", dont_inherit=True)
        return made

    def folder_of(self, path: str) -> zipfile.Path:
        return zipfile.Path(self._files[path], path.rpartition("/")[0] + "/")

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        base = fullname.replace(".", "/")
        for file, package in ((f"{base}/__init__.py", True), (f"{base}.py", False)):
            if file in self._files:
                loader = _Loader(self, file, package)
                spec = importlib.machinery.ModuleSpec(fullname, loader, origin=_ROOT + file, is_package=package)
                spec.has_location = True
                if package:
                    spec.submodule_search_locations = [_ROOT + base]
                return spec
        if base + "/" in self._folders:
            spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [_ROOT + base]
            return spec
        return None

    def find_distributions(self, context: Any = None) -> Iterator[importlib.metadata.Distribution]:
        wanted = importlib.metadata.Prepared(context.name) if context and context.name else None
        for folder in self._folders:
            if folder.count("/") == 1 and folder.endswith(".dist-info/"):
                name = folder.split("-")[0].lower()
                if wanted is None or wanted.normalized == name.replace("-", "_").replace(".", "_"):
                    yield _Distribution(self, folder.removesuffix("/"))


def install(wheels: list[str], code: str) -> None:
    """Makes the wheels importable. `code` is what `code_of` returned for them, in base64, or empty."""
    if wheels:
        sys.meta_path.append(WheelFinder(wheels, binascii.a2b_base64(code)))


def code_of(modules: list[str]) -> bytes:
    """Imports modules of the wheels and returns the code of all modules that were compiled: the magic number of this
    Python and a zip archive of marshalled code. A module that cannot be imported is left out."""
    finder = next(one for one in sys.meta_path if isinstance(one, WheelFinder))
    for name in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, made in sorted(finder.made.items()):
            # Without a time, so that the same modules have the same bytes.
            archive.writestr(zipfile.ZipInfo(path), marshal.dumps(made), zipfile.ZIP_DEFLATED)
    return _MAGIC + content.getvalue()
