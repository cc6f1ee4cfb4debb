#!/usr/bin/env bash
# Makes the environment that the tests of the JupyterHub login run in: a Hub, what its users' notebooks run on, and its proxy.
#
#   tests/hub/install.sh FOLDER WHEEL      # then FABRIC_HUB_ENV=FOLDER
#
# PYTHON names the interpreter (python3), WHEEL the built client, which users find installed. The proxy is a Node.js program.
set -euo pipefail
folder=${1:?names no folder to install into}
wheel=${2:?names no wheel of the client}
for program in node npm; do
    command -v "$program" >/dev/null || {
        echo "$program is not there, and JupyterHub's proxy needs it. hint: install Node.js 20 or newer, with npm" >&2
        exit 1
    }
done
"${PYTHON:-python3}" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$wheel" --requirement "$(dirname "$0")/requirements.txt"
npm install --prefix "$folder/proxy" --no-save --no-audit --no-fund --ignore-scripts --loglevel=error configurable-http-proxy@5.3.0
