# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Shared by tools/vm and its parts: where caches lie, how they are filled.
# A cache entry appears by rename, so an interrupted build leaves none behind,
# and is filled under a lock, so two runs never do the same work twice.

# shellcheck disable=SC2034  # for those who read this file
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 125; }

if [ -n "${BLKFERRY_CACHE:-}" ]; then
	cache=$BLKFERRY_CACHE
elif [ -n "${XDG_CACHE_HOME:-}" ] || [ "$(id -u)" -ne 0 ]; then
	cache=${XDG_CACHE_HOME:-$HOME/.cache}/blkferry
else
	cache=/var/cache/blkferry
fi
mkdir -p "$cache" || die "cannot create the cache $cache: set BLKFERRY_CACHE"

# cached KEY COMMAND...: makes $cache/KEY, a file or a directory, unless it is
# there. COMMAND gets the temporary path to fill as its last argument; its
# status decides (it runs where `set -e` has no effect).
cached() {
	local key=$1 lock tmp
	shift
	[ -e "$cache/$key" ] && return 0
	mkdir -p "$cache/.locks" "$(dirname "$cache/$key")"
	exec {lock}>"$cache/.locks/${key//\//_}"
	flock "$lock"
	if [ ! -e "$cache/$key" ]; then
		find "$cache" -maxdepth 1 -name '.tmp.*' -mmin +240 \
			-exec rm -rf --one-file-system {} +
		tmp=$(mktemp -d "$cache/.tmp.XXXXXX")
		if ! ("$@" "$tmp/entry" && [ -e "$tmp/entry" ]); then
			rm -rf --one-file-system "$tmp"
			exec {lock}>&-
			return 1
		fi
		mv -T "$tmp/entry" "$cache/$key"
		rm -rf "$tmp"
	fi
	exec {lock}>&-
}

# The first 16 digits of the hash of standard input name a cache entry.
key_of() { sha256sum | cut -c1-16; }

# As root, whoever we are.
apt_run() {
	if [ "$(id -u)" -eq 0 ]; then
		DEBIAN_FRONTEND=noninteractive apt-get -qq "$@"
	else
		sudo DEBIAN_FRONTEND=noninteractive apt-get -qq "$@"
	fi
}
