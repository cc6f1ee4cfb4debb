"""Runs the notebooks headless, each in a fresh kernel, against a temporary server.

    python run.py                     runs all notebooks
    python run.py weather --write     runs one notebook and stores its outputs in the file

The server binary is FABRIC_BIN, or by default the `fabric` on the path. A failing cell is printed, and the exit status
is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

HERE = Path(__file__).resolve().parent
#: Seconds to wait for a server to be ready.
PATIENCE = 120.0
#: Poll interval for the server's `server.json`, in seconds.
LOOK = 0.01
#: Timeout of a cell in seconds. The first Python function waits until its runner is compiled.
CELL_TIMEOUT = 900
#: Colour codes in a traceback.
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@contextlib.contextmanager
def serving(program: str, like: Path | None = None) -> Iterator[dict[str, str]]:
    """Runs a server in a temporary folder and yields an environment in which `Fabric()` finds only this server.

    Args:
        program: The `fabric` binary.
        like: Data folder of a stopped server; the new server starts with a copy of it.
    """
    with tempfile.TemporaryDirectory(prefix="fabric-notebooks-") as folder:
        data, log = Path(folder, "data"), Path(folder, "server.log")
        if like is not None:
            shutil.copytree(like, data)
            (data / "server.json").unlink(missing_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FABRIC_")}
        environment = kept | {"FABRIC_DATA": str(data), "FABRIC_CONFIG_HOME": str(Path(folder, "config"))}
        command = [program, "serve", "--listen", "127.0.0.1:0", "--data", str(data)]
        with log.open("wb") as out:
            server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment)
        try:
            end = time.monotonic() + PATIENCE
            while not (data / "server.json").exists():
                if server.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"the server did not start\n{log.read_text(errors='replace')}")
                time.sleep(LOOK)
            yield environment
        finally:
            server.kill()
            server.wait()


def executed(notebook: Path, environment: dict[str, str]) -> NotebookNode:
    """Returns the notebook with the outputs of a run.

    Raises:
        CellExecutionError: if a cell fails.
    """
    found = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(
        found,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(notebook.parent)}},
        record_timing=False,
        coalesce_streams=True,
        store_widget_state=False,
        # Connection messages of the kernel are not part of the notebook's output.
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    )
    return normalised(client.execute(env=environment))


def normalised(notebook: NotebookNode) -> NotebookNode:
    """Removes metadata that differs between machines."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {}
    return notebook


def _notebook(name: str) -> Path:
    path = HERE / f"{name}.ipynb"
    path = path if path.exists() else Path(name).resolve()
    if not path.is_file():
        known = ", ".join(path.stem for path in sorted(HERE.glob("*.ipynb")))
        raise argparse.ArgumentTypeError(f"unknown notebook {name}; known: {known}")
    return path


def main() -> int:
    """Runs the notebooks given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", metavar="NAME", type=_notebook, help="a notebook's name, or a file")
    parser.add_argument("--write", action="store_true", help="store the outputs in the files")
    parser.add_argument(
        "--like", type=Path, metavar="DIR", help="start with a copy of a stopped server's data, to compile less"
    )
    asked = parser.parse_args()
    program = os.environ.get("FABRIC_BIN") or shutil.which("fabric")
    if program is None:
        parser.error("no fabric binary\nhint: cargo build -p fabric-cli, then add it to PATH or set FABRIC_BIN")
    failed = False
    with serving(program, asked.like) as environment:
        for path in asked.notebooks or sorted(HERE.glob("*.ipynb")):
            began = time.monotonic()
            try:
                found = executed(path, environment)
            except CellExecutionError as error:
                print(f"{path.name}: failed\n{COLOURS.sub('', str(error))}", file=sys.stderr)
                failed = True
                continue
            print(f"{path.name}: {time.monotonic() - began:.1f} s", flush=True)
            if asked.write:
                nbformat.write(found, path)  # type: ignore[no-untyped-call]
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
