#!/usr/bin/env bash
# Creates the environment of the JupyterHub tests: a Hub, the packages of its users' notebooks, and its proxy.
#
#   tests/hub/install.sh FOLDER WHEEL      # then FABRIC_HUB_ENV=FOLDER
#
# PYTHON names the interpreter (python3), WHEEL the built client that users have installed. The proxy is a Node.js
# program.
set -euo pipefail
folder=${1:?is not set: the folder to install into}
wheel=${2:?is not set: the wheel of the client}
here=$(cd "$(dirname "$0")" && pwd)
for program in node npm; do
    command -v "$program" >/dev/null || {
        echo "JupyterHub's proxy needs $program, which is not installed. hint: install Node.js 20 or newer, with npm" >&2
        exit 1
    }
done
"${PYTHON:-python3}" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$here/../../pins/hub.txt"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-index "$wheel"
"$folder/bin/python" -m pip check --quiet
mkdir -p "$folder/proxy"
cp "$here/proxy/package.json" "$here/proxy/package-lock.json" "$folder/proxy"
npm ci --prefix "$folder/proxy" --no-audit --no-fund --ignore-scripts --loglevel=error
