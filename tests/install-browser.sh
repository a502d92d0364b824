#!/usr/bin/env bash
# Install Debian's Chromium through apt where that is allowed; else say which tests cannot run, and exit 3.
set -euo pipefail
packages=(chromium)

if command -v chromium >/dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" = 0 ]; then
    as_root=()
elif sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
else
    echo "Missing: ${packages[*]}. The tests in a browser cannot run; type: sudo apt-get install ${packages[*]}" >&2
    exit 3
fi
install() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"; }
install >/dev/null 2>&1 || { "${as_root[@]}" apt-get update -qq && install >/dev/null; }
