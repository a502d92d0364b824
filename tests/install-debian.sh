#!/usr/bin/env bash
# Install Debian's packages through apt where that is allowed; else say which tests cannot run, and exit 3.
#
#   bash tests/install-debian.sh 'that render audio' fluidsynth libfluidsynth3 fluid-soundfont-gm
#   bash tests/install-debian.sh 'in a browser' chromium
set -euo pipefail
tests=$1
packages=("${@:2}")

if dpkg -s "${packages[@]}" >/dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" = 0 ]; then
    as_root=()
elif sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
else
    echo "Missing: ${packages[*]}. The tests $tests cannot run; type: sudo apt-get install ${packages[*]}" >&2
    exit 3
fi
install() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"; }
install >/dev/null 2>&1 || { "${as_root[@]}" apt-get update -qq && install >/dev/null; }
