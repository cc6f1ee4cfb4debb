"""Classifies modules: importable in the sandbox, sent with a package, the user's own, or unavailable."""

from __future__ import annotations

import enum
import functools
import importlib.metadata
import importlib.resources
import importlib.util
import sys
import sysconfig
from collections.abc import Collection
from types import ModuleType

from .errors import NotShippable

NATIVE_ENDINGS = (".so", ".pyd", ".dylib", ".dll")


class Origin(enum.Enum):
    """The origin of a module in the sandbox."""

    #: Imported in the sandbox, from its standard library or from a package.
    IMPORTED = enum.auto()
    #: The user's own module: the parts that the function uses are sent.
    OWN = enum.auto()


@functools.cache
def runner_modules() -> frozenset[str]:
    """Returns the modules that the runner can import, listed when it was built."""
    text = importlib.resources.files(__package__).joinpath("runner_modules.txt").read_text(encoding="ascii")
    return frozenset(text.split())


@functools.cache
def _installed() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple({paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def origin(name: str, packaged: Collection[str]) -> Origin:
    """Returns the origin of a module. `packaged` are the top-level modules of the function's packages.

    Raises:
        NotShippable: if the module is not available in the sandbox, with the reason.
    """
    top = name.partition(".")[0]
    if name in runner_modules() or top in packaged:
        return Origin.IMPORTED
    if top in sys.stdlib_module_names:
        raise NotShippable(
            f"the sandbox has no module {name}",
            "do that part outside the function, and pass the result as an argument",
        )
    module = sys.modules.get(name) or sys.modules.get(top)
    if module is None or _is_own(module):
        return Origin.OWN
    raise _not_there(name, top)


def check_import(name: str, packaged: Collection[str]) -> None:
    """Checks that an import in the body of a function works in the sandbox as it does here.

    Raises:
        NotShippable: if the module is installed here and not available in the sandbox, with the reason.
    """
    top = name.partition(".")[0]
    if top in sys.modules or top in sys.stdlib_module_names or top in packaged or name in runner_modules():
        found = origin(name, packaged)
    else:
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError):
            spec = None
        if spec is None:
            # It fails here too.
            return
        if not _is_own_file(spec.origin):
            raise _not_there(name, top)
        found = Origin.OWN
    if found is Origin.OWN:
        raise NotShippable(
            f"it imports {name}, which is your own module",
            "import it outside the function: the parts that the function uses are sent",
        )


def _is_own(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    if file is None:
        # A prompt, a notebook, or a folder without __init__.py.
        made_here = getattr(module, "__loader__", None) is None
        return made_here or module.__name__ == "__main__" or hasattr(module, "__path__")
    return _is_own_file(file)


def _is_own_file(file: str | None) -> bool:
    if file is None:
        return True
    if file.endswith(NATIVE_ENDINGS):
        return False
    return "site-packages" not in file and "dist-packages" not in file and not file.startswith(_installed())


def _not_there(name: str, top: str) -> NotShippable:
    # Before Python 3.11 this list is incomplete.
    distributions = [*importlib.metadata.packages_distributions().get(top, []), top]
    module = sys.modules.get(top)
    file = getattr(module, "__file__", None) or ""
    try:
        found = importlib.metadata.distribution(distributions[0])
    except importlib.metadata.PackageNotFoundError:
        if file.endswith(NATIVE_ENDINGS):
            return native(top)
        return NotShippable(f"the sandbox has no module {name}", "import it inside the function from a package")
    if any(str(path).endswith(NATIVE_ENDINGS) for path in found.files or ()):
        return native(distributions[0])
    return NotShippable(
        f"the sandbox has no module {name}",
        f'send the package along: packages=["{found.name}=={found.version}"]',
    )


def native(package: str) -> NotShippable:
    """Returns the exception for a package with native code."""
    return NotShippable(
        f"{package} is a native extension, and native extensions do not run in the sandbox",
        "pass lists, numbers or bytes (for instance array.tolist()), or write a Rust module",
    )
