#!/usr/bin/env bash
# Installs the Debian packages that devcluster needs, where it may (root, or sudo without a password).
# Usage: install.sh [--accounting]
# Exit status: 0 they are there; 3 they are not, and one line says which.
set -euo pipefail

packages=(slurmctld:slurmctld slurmd:slurmd slurm-client:sinfo)
case "${1-}" in
    "") ;;
    --accounting) packages+=(slurmdbd:slurmdbd mariadb-server:mariadbd) ;;
    *) echo "usage: $0 [--accounting]" >&2; exit 2 ;;
esac

missing=()
for entry in "${packages[@]}"; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "${entry#*:}" >/dev/null || missing+=("${entry%:*}")
done
[[ ${#missing[@]} -eq 0 ]] && exit 0

give_up() {
    echo "devcluster: $1; the Slurm tests cannot run without: sudo apt-get install ${missing[*]}" >&2
    exit 3
}

command -v apt-get >/dev/null || give_up "there is no apt on this machine"
as_root=()
if [[ $EUID -ne 0 ]]; then
    sudo -n true 2>/dev/null || give_up "installing packages needs root"
    as_root=(sudo -n)
fi

apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 "$@" >&2; }
install() { apt install --yes --no-install-recommends "${missing[@]}"; }

echo "devcluster: installing ${missing[*]}" >&2
install || { apt update && install; } || give_up "apt-get could not install them"
