#!/usr/bin/env bash
# Prints the path of a Python 3.13: of the PATH, of pyenv, or Debian's, which is unpacked into a folder together with the
# C library that it needs, so that nothing is installed.
#
#   tests/python_3_13.sh FOLDER
set -euo pipefail
folder=$1

for found in python3.13 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13.*/bin/python3.13; do
  if "$found" -c 'import ctypes, ssl' 2>/dev/null; then
    command -v "$found"
    exit
  fi
done

python=$folder/python3.13
if [ ! -x "$python" ]; then
  rm -rf "$folder"
  mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$folder/root"
  folder=$(cd "$folder" && pwd)
  # The mirror of the machine's own release, with lists and settings of its own.
  # shellcheck disable=SC2016 # The variable is apt's.
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -1)
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:?apt knows no mirror} trixie main" >"$folder/sources.list"
  options=(-qq -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::Cache=$folder/cache"
    -o "Dir::State::Lists=$folder/lists" -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update >&2
  (cd "$folder" && apt-get "${options[@]}" download >&2 python3.13-minimal libpython3.13-minimal libpython3.13-stdlib libc6 libgcc-s1 \
    libstdc++6 zlib1g libexpat1 libffi8 libssl3t64 libzstd1 libbz2-1.0 liblzma5 libsqlite3-0 libuuid1)
  for package in "$folder"/*.deb; do
    dpkg-deb --extract "$package" "$folder/root"
  done
  library=$folder/root/usr/lib/$(gcc -print-multiarch)
  printf '#!/bin/sh\nPYTHONHOME=%s exec %s --library-path %s %s "$@"\n' "$folder/root/usr" "$library"/ld-linux-*.so.* "$library" \
    "$folder/root/usr/bin/python3.13" >"$folder/building"
  chmod +x "$folder/building"
  "$folder/building" -c 'import ctypes, ssl'
  mv "$folder/building" "$folder/python3.13"
  rm -rf "$folder"/*.deb "$folder/lists" "$folder/cache"
fi
echo "$python"
