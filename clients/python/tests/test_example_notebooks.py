"""The notebooks in `examples/notebooks`: the committed outputs are clean, and every cell runs."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbformat import NotebookNode
from server import binary

FOLDER = Path(__file__).parents[3] / "examples" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
#: Text that reveals a machine or grants access: folders, addresses with a port, tokens.
PRIVATE = re.compile(
    r"/(?:home|root|Users|tmp|private|var|opt|usr|mnt|workspace)/|[A-Z]:\\|localhost|127\.0\.0\.1|:\d{4,5}\b"
    r"|\bfab_[0-9a-f]{8}|Traceback"
)
#: Maximum size of a notebook with its charts, in bytes.
LIMIT = 400 * 1024

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def problems(notebook: NotebookNode) -> list[str]:
    """Returns the contents that must not be in a committed notebook."""
    found = []
    for number, cell in enumerate(code(notebook), 1):
        if cell.execution_count != number:
            found.append(f"{cell.id} was run as number {cell.execution_count}, it stands as number {number}")
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(f"{cell.id} failed: {output.ename}")
            if output.get("name") == "stderr":
                found.append(f"{cell.id} wrote to standard error: {output.text}")
            if "text/html" in output.get("data", {}) and not output.data["text/plain"].strip():
                found.append(f"{cell.id} shows nothing where there is no HTML")
        texts = {key: value for output in cell.outputs for key, value in output.get("data", {}).items()}
        texts = {key: value for key, value in texts.items() if key != "image/png"}
        streams = [output.text for output in cell.outputs if output.output_type == "stream"]
        if private := PRIVATE.search(json.dumps([texts, streams])):
            found.append(f"{cell.id} shows {private[0]}")
    if set(notebook.metadata) != {"kernelspec", "language_info"} or any(cell.metadata for cell in notebook.cells):
        found.append("metadata of the machine that it ran on")
    return found


def shape(notebook: NotebookNode) -> dict[str, list[str]]:
    """Returns the kinds of outputs of each cell, without cards of jobs that took longer than a second."""
    return {
        cell.id: [
            kind
            for output in cell.outputs
            for kind in sorted(output.get("data", {"stream": None}))
            if "fabric-card" not in output.get("data", {}).get("text/html", "")
        ]
        for cell in code(notebook)
    }


@every_notebook
def test_a_committed_notebook_reads_well(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert problems(notebook) == [], f"\nhint: python examples/notebooks/run.py {path.stem} --write"
    assert sum(kinds.count("image/png") for kinds in shape(notebook).values()) == 1
    assert path.stat().st_size < LIMIT


def test_what_must_not_be_committed_is_found() -> None:
    made = nbformat.v4.new_notebook()
    made.cells = [nbformat.v4.new_code_cell(id=name) for name in ("path", "token", "port", "warning", "error", "late")]
    for number, cell in enumerate(made.cells, 1):
        cell.execution_count = number
    shown = ["/home/me/x.csv", "fab_0123456789abcdef", "http://10.0.0.1:8080"]
    for cell, text in zip(made.cells, shown, strict=False):
        cell.outputs = [nbformat.v4.new_output("display_data", {"text/plain": text, "text/html": "<b>x</b>"})]
    made.cells[3].outputs = [nbformat.v4.new_output("stream", name="stderr", text="x")]
    made.cells[4].outputs = [nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])]
    made.cells[5].execution_count = 9
    found = problems(made)
    assert [text.partition(" ")[0] for text in found] == [*(cell.id for cell in made.cells), "metadata"]


@pytest.fixture(scope="module")
def run() -> ModuleType:
    """Imports the script that runs notebooks."""
    spec = importlib.util.spec_from_file_location("run_notebooks", FOLDER / "run.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def environment(run: ModuleType, with_runner: Path) -> Iterator[dict[str, str]]:
    """A server that has compiled the runner, in the environment of the notebooks' kernels."""
    with run.serving(str(binary()), with_runner) as found:
        yield found


@every_notebook
def test_a_notebook_runs_and_shows_what_is_committed(run: ModuleType, environment: dict[str, str], path: Path) -> None:
    fresh = run.executed(path, environment)
    assert problems(fresh) == []
    assert shape(fresh) == shape(nbformat.read(path, as_version=4))


def test_a_cell_that_fails_fails_the_run(tmp_path: Path) -> None:
    made = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("fine = 0"), nbformat.v4.new_code_cell("1 / fine")]
    )
    nbformat.write(made, tmp_path / "broken.ipynb")
    before = (tmp_path / "broken.ipynb").read_bytes()
    command = [sys.executable, FOLDER / "run.py", tmp_path / "broken.ipynb", "--write"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "broken.ipynb: failed" in done.stderr
    assert "1 / fine" in done.stderr
    assert "ZeroDivisionError: division by zero" in done.stderr
    assert (tmp_path / "broken.ipynb").read_bytes() == before


def test_a_name_that_is_no_notebook_is_refused() -> None:
    command = [sys.executable, FOLDER / "run.py", "wheather"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert (
        "unknown notebook wheather; known: async-fan-out, dataframes, monte-carlo, text-statistics, weather"
        in done.stderr
    )
