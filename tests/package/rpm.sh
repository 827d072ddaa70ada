#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: the RPM packages build with Debian's rpmbuild and hold what the Debian
# packages hold, but for what each kind of package says about itself.
# RUN: limit=300 in=full
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

out=$test_tmp/out

both_build() {
	tools/rpm "$out"
	tools/deb "$out"
}

# What is installed, under names that both kinds share.
rpm_files() { rpm -qlp "$out"/"$1"-[0-9]*.rpm; }
deb_files() {
	dpkg-deb --fsys-tarfile "$out"/"$1"_*.deb | tar -tf - |
		sed 's@^\.@@; s@/$@@; s@^/lib/@/usr/lib/@; s@\.gz$@@'
}

installed() {
	"$1" "$2" | grep -E '^/usr/(s?bin|src|lib/systemd|share/(man|bash-completion|doc/blkferry/examples))/.*' |
		while read -r file; do
			# Folders belong to neither.
			case ${file##*/} in
			*.* | blkferry | Kbuild) echo "$file" ;;
			esac
		done | sort
}

same_content() {
	installed rpm_files "$1" >"$test_tmp/rpm"
	installed deb_files "$1" >"$test_tmp/deb"
	[ "$(wc -l <"$test_tmp/rpm")" -ge "$2" ]
	diff "$test_tmp/deb" "$test_tmp/rpm"
}

run_case "both kinds of packages build" both_build
run_case "the command's packages hold the same" same_content blkferry 9
run_case "the module's packages hold the same" same_content blkferry-dkms 30
