#!/usr/bin/env bash
# Sees to it that a Chromium is there for the tests that look at pages; installs one only if none is found.
#
#   bash infra/ensure_chromium.sh
#
# Looks on PATH, then in Playwright's own folder; then tries the system's packages, then Playwright's download.
set -uo pipefail

python="$(dirname "$0")/../.venv/bin/python"
[ -x "$python" ] || python=python3

installed() {
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        command -v "$name" && return
    done
    "$python" - <<'PYTHON' 2>/dev/null
import pathlib
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    path = pathlib.Path(playwright.chromium.executable_path)
print(path)
raise SystemExit(not path.is_file())
PYTHON
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

from_packages() {
    command -v apt-get >/dev/null || return
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get update -qq && as_root apt-get install -y -qq --no-install-recommends chromium
}

if found=$(installed); then
    echo "Chromium: $found"
    exit 0
fi

echo "No Chromium was found; installing one for the tests that look at pages"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
from_packages >"$log" 2>&1 || "$python" -m playwright install chromium >>"$log" 2>&1 || true

if found=$(installed); then
    echo "Chromium: $found"
    exit 0
fi
tail -n 20 "$log" >&2
echo "No Chromium could be installed. Install one by hand (Debian, Ubuntu: apt-get install chromium) and run again." >&2
exit 1
