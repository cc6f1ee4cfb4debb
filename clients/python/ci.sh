#!/usr/bin/env bash
# Checks the Python client: lints, types, wheel and sdist, and the tests against a real server, with the wheel installed
# in a new environment. The tests run the notebooks in examples/notebooks too. Tools and dependencies are pinned with
# hashes in pins/, which `cargo xtask pins` writes from the requirements files.
#
#   FABRIC_BIN=…/fabric FABRIC_GUESTS_DIR=…/guests ./ci.sh [arguments of pytest]
#
# PYTHON names the interpreter (python3). Works below $CARGO_TARGET_DIR/python, or the repository's target/python.
set -euo pipefail
cd "$(dirname "$0")"
: "${FABRIC_BIN:?is not set. hint: cargo build -p fabric-cli, then FABRIC_BIN=…/debug/fabric}"
: "${FABRIC_GUESTS_DIR:?is not set. hint: cargo xtask guests, then FABRIC_GUESTS_DIR=…/guests}"
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(f"Python {sys.version.split()[0]} is too old: 3.10 or newer is needed, PYTHON names one" if sys.version_info < (3, 10) else 0)'
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
work=${CARGO_TARGET_DIR:-../../target}/python/$version
rm -rf "$work"
mkdir -p "$work"
work=$(cd "$work" && pwd)

"$python" runner/build.py

"$python" -m venv "$work/tools"
"$work/tools/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement pins/tools.txt
# Without isolation: the build's own tools are pinned too.
"$work/tools/bin/python" -m build --no-isolation --outdir "$work/dist" . >"$work/build.log" || { cat "$work/build.log" >&2; exit 1; }

"$python" -m venv "$work/tests"
wheel=("$work"/dist/*.whl)
"$work/tests/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement pins/tests.txt
"$work/tests/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-index "${wheel[0]}"
"$work/tests/bin/python" -m pip check --quiet

# Without extras, the package needs only httpx.
"$python" -m venv "$work/plain"
"$work/plain/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement pins/plain.txt
"$work/plain/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-index "${wheel[0]}"
"$work/plain/bin/python" -m pip check --quiet
"$work/plain/bin/python" tests/plain.py

# A JupyterHub with the wheel installed for its users.
PYTHON=$python tests/hub/install.sh "$work/hub" "${wheel[0]}"

"$work/tools/bin/ruff" check . ../../examples/notebooks
"$work/tools/bin/ruff" format --check . ../../examples/notebooks
"$work/tools/bin/mypy" --python-executable "$work/tests/bin/python"
"$work/tools/bin/mypy" --python-executable "$work/tests/bin/python" ../../examples/notebooks/run.py
# The programs that run here and in the sandbox run here with another version of Python too.
other=$(tests/python_3_13.sh "$work/../debian-3.13")
"$python" -m pip install --quiet --disable-pip-version-check --target "$work/programs" --python-version 3.13 --only-binary=:all: \
  --require-hashes --requirement pins/programs.txt
"$python" -m pip install --quiet --disable-pip-version-check --target "$work/programs" --no-deps --no-index "${wheel[0]}"
# An enumeration of partials warns of another meaning in a later Python.
PYTHONPATH=$work/programs "$other" -m pytest -q -p no:cacheprovider -W "ignore:functools.partial will be:FutureWarning" \
  tests/pyfn/test_programs.py

# The sources in src/ are not on the path, so the tests use the installed wheel.
FABRIC_HUB_ENV=$work/hub exec "$work/tests/bin/python" -m pytest -p no:cacheprovider "$@"
