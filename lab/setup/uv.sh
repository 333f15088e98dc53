#!/usr/bin/env bash
# Installs uv from the Python package index into a virtual environment of its own: uv.sh PATH_OF_THE_UV_BINARY
# Must not touch the system's Python packages.
set -eu
uv_version=0.13.9
folder=$(dirname "$(dirname "$1")")
python=""
for candidate in python3.14 python3.13 python3.12 python3.11 python3; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$candidate; break; fi
done
[ -n "$python" ] || { echo "Python 3.11 or newer is needed and none was found on PATH." >&2; exit 1; }
echo "installing uv $uv_version into $folder"
if ! "$python" -m venv "$folder" 2>/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "$python has no venv module. Install it: sudo apt-get install python3-venv" >&2; exit 1
    fi
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
    rm -rf "$folder" && "$python" -m venv "$folder"
fi
"$folder/bin/pip" install --quiet --disable-pip-version-check "uv==$uv_version"
touch "$1"
