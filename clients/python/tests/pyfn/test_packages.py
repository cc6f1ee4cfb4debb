"""Packages of a function: wheels that the tests build, and that pip finds in a folder."""

from __future__ import annotations

import sys
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fabric_client import Fabric, SettingError
from fabric_client.pyfn import NotShippable, packages

PYTHON = f"cp{sys.version_info[0]}{sys.version_info[1]}"


def wheel(
    folder: Path,
    name: str,
    files: dict[str, str],
    *,
    version: str = "1.0",
    tag: str = "py3-none-any",
    needs: str = "",
) -> None:
    info = f"{name}-{version}.dist-info"
    written = version.replace(".7", ".07")  # Another form of the same version.
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {written}\n" + (
        f"Requires-Dist: {needs}\n" if needs else ""
    )
    everything = {
        **files,
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w") as archive:
        for path, text in everything.items():
            archive.writestr(path, text)


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of wheels that is the only index of pip."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel(
        folder,
        "colours",
        {
            "colours/__init__.py": "from .names import RED\nimport shades\nfrom importlib.metadata import version\n"
            "VERSION = version('colours')\n",
            "colours/names.py": "RED = 'red'\ndef fail():\n    raise KeyError('lost')\n",
            "colours/table.txt": "blue",
        },
        needs="shades",
    )
    wheel(folder, "shades", {"shades.py": "DARK = 'dark'\n"})
    wheel(folder, "nested", {"nested/one/two.py": "TWO = 2\n"})
    wheel(folder, "machine", {"machine.py": ""}, tag=f"{PYTHON}-{PYTHON}-linux_x86_64")
    wheel(folder, "modern", {"modern.py": ""})
    wheel(folder, "modern", {"modern.py": ""}, version="2.0", needs="machine")
    wheel(folder, "liar", {"liar.py": "", "liar/_speed.so": "\x7fELF"})
    wheel(folder, "huge", {"huge.py": "x = 1\n" + "#" * packages.MAX_BYTES})
    for name in list(sys.modules):
        if name.startswith(("colours", "shades")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    packages.resolve.cache_clear()
    yield folder
    packages.resolve.cache_clear()


def test_a_package_and_what_it_needs_are_imported_there(fab: Fabric) -> None:
    @fab.function(packages=["colours"])
    def use() -> tuple[str, ...]:
        import importlib.resources
        import pkgutil

        import colours
        import shades

        table = (pkgutil.get_data("colours", "table.txt") or b"").decode()
        return colours.RED, shades.DARK, colours.VERSION, table, importlib.resources.read_text("colours", "table.txt")

    assert use.remote() == ("red", "dark", "1.0", "blue", "blue")

    def spaces() -> int:
        from nested.one.two import TWO

        return int(TWO)

    assert fab.function(packages=["nested"])(spaces).remote() == 2


def test_names_of_a_package_are_imported_not_sent(fab: Fabric, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(index / "colours-1.0-py3-none-any.whl"))
    monkeypatch.syspath_prepend(str(index / "shades-1.0-py3-none-any.whl"))
    names = __import__("colours.names", fromlist=["fail"])
    assert isinstance(names, types.ModuleType)
    fail = names.fail
    with pytest.raises(KeyError, match="lost") as caught:
        fab.function(lambda: fail(), packages=["colours"]).remote()
    assert "/packages/colours/names.py" in str(caught.value.__cause__)


def test_a_module_of_no_package_is_an_import_error(fab: Fabric) -> None:
    def lost() -> None:
        import colours  # noqa: F401

    with pytest.raises(ModuleNotFoundError, match="colours"):
        fab.function(lost).remote()


def test_packages_are_resolved_once(index: Path) -> None:
    first = packages.resolve(("colours",))
    assert [file.name for file in first.files] == ["colours-1.0-py3-none-any.whl", "shades-1.0-py3-none-any.whl"]
    assert first.modules == {"colours", "shades"}
    for file in index.iterdir():
        file.unlink()
    packages.resolve.cache_clear()
    assert packages.resolve(("colours",)) == first
    with pytest.raises(SettingError, match="nested"):
        packages.resolve(("nested",))


def test_packages_are_compiled_once(fab: Fabric, tmp_path: Path) -> None:
    @fab.function(packages=["colours"])
    def compiled() -> list[str]:
        import colours  # noqa: F401

        finder: Any = next(one for one in sys.meta_path if hasattr(one, "made"))
        return sorted(finder.made)

    assert compiled.remote() == []
    (kept,) = (tmp_path / "cache" / "fabric" / "code").iterdir()
    # Code of another Python is ignored, and so is a file that is no code.
    whole = kept.read_bytes()
    for other in (b"1234" + whole[4:], whole[:-100], b""):
        kept.write_bytes(other)
        fab._package_code.clear()
        assert compiled.remote() == ["colours/__init__.py", "colours/names.py", "shades.py"]


def test_a_package_that_cannot_be_imported_fails_in_the_call(fab: Fabric, index: Path) -> None:
    wheel(index, "broken", {"broken.py": "1 / 0\n"})

    def use() -> None:
        import broken  # noqa: F401

    with pytest.raises(ZeroDivisionError):
        fab.function(use, packages=["broken"]).remote()


def test_native_packages_are_refused_by_name() -> None:
    with pytest.raises(NotShippable, match=r"machine.*native"):
        packages.resolve(("machine",))
    with pytest.raises(NotShippable, match=r"liar.*_speed\.so"):
        packages.resolve(("liar",))


def test_an_older_version_is_taken_only_if_asked_for(index: Path) -> None:
    with pytest.raises(NotShippable, match=r"modern 2\.0 depends on .*native.* version that does is 1\.0") as caught:
        packages.resolve(("modern",))
    assert caught.value.hint == 'ask for it: packages=["modern==1.0"]'
    wheel(index, "dated", {"dated.py": ""}, version="2023.7")
    assert [file.name for file in packages.resolve(("dated",)).files] == ["dated-2023.7-py3-none-any.whl"]
    for asked in ("modern==1.0", "Modern<2"):
        assert [file.name for file in packages.resolve((asked,)).files] == ["modern-1.0-py3-none-any.whl"]


def test_mistakes_say_what_to_do(fab: Fabric) -> None:
    with pytest.raises(SettingError, match=r"did not find the packages.*nowhere-to-be-found"):
        packages.resolve(("nowhere-to-be-found",))
    for wrong in ("--index-url=http://elsewhere", "-r file", "", 5):
        with pytest.raises(SettingError, match="not a requirement"):
            packages.resolve((wrong,))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="packages must be a list"):
        fab.function(lambda: 1, packages="colours")  # type: ignore[call-overload]
    with pytest.raises(NotShippable, match="sent with a function"):
        packages.resolve(("huge",))
