#!/bin/sh
# Find a Python that can run the toolkit, then let scripts/setup.py do the work.
# Usage: scripts/setup.sh run|all
set -eu
cd "$(dirname "$0")/.."
for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3; do
    [ -n "$candidate" ] || continue
    if command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
        exec "$candidate" scripts/setup.py "$@"
    fi
done
echo "setup: no CPython 3.11, 3.12 or 3.13 found; install one or name it with PYTHON=/path/to/python" >&2
exit 1
