#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: the RPM packages build with Debian's rpmbuild and hold what the Debian
# packages hold, but for what each kind of package says about itself; what they do
# when they come and go is the same: DKMS has the module, units are known to
# systemd and started by nobody, all that runs stops with the removal alone.
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

# scriptlet PACKAGE WHICH: what rpm gives to the shell, without its first line.
scriptlet() {
	rpm -qp --scripts "$out"/"$1"-[0-9]*.rpm |
		awk -v which="$2" '/^[a-z]+ (scriptlet|program)/ { mine = $1 == which; next } mine'
}

# has_in_order PACKAGE WHICH WORDS...: each below the one before.
has_in_order() {
	local words at=0 line text
	text=$(scriptlet "$1" "$2")
	for words in "${@:3}"; do
		line=$(grep -nF -- "$words" <<<"$text" | cut -d: -f1 | awk -v at="$at" '$1 > at' | head -n 1)
		[ -n "$line" ] || fail "$1, $2: no '$words' below line $at of: $text"
		at=$line
	done
}

# Nothing that rpm did not expand, and nothing that the shell does not read.
scriptlets_are_shell() {
	local package which text
	for package in blkferry blkferry-dkms; do
		for which in postinstall preuninstall postuninstall; do
			text=$(scriptlet "$package" "$which")
			sh -n -c "$text"
			! grep '%' <<<"$text" || fail "not expanded in $package, $which"
		done
	done
}

module_by_dkms() {
	local module="-m blkferry -v $version"
	has_in_order blkferry-dkms postinstall "dkms add $module" \
		"dkms build $module" "dkms install $module"
	has_in_order blkferry-dkms preuninstall "dkms remove $module --all" \
		"rmmod blkferry"
	eq "$(dpkg-deb --ctrl-tarfile "$out"/blkferry-dkms_*.deb | tar -xOf - ./prerm |
		grep -c 'dkms remove')" 1 "removals in Debian's package"
}

# The units of Debian's prerm, and each of them only when the package goes.
units_stop_with_the_removal() {
	local unit
	grep -oE 'blkferry[@*a-z-]+\.service' dkms/debian/blkferry.prerm >"$test_tmp/units"
	[ "$(wc -l <"$test_tmp/units")" -eq 3 ]
	while read -r unit; do
		# shellcheck disable=SC2016  # the scriptlet's own
		has_in_order blkferry preuninstall '"$1" -eq 0' "$unit"
	done <"$test_tmp/units"
	has_in_order blkferry postinstall blkferry-receiver.service
	has_in_order blkferry postinstall blkferry-metrics.service
	has_in_order blkferry postuninstall "find /etc/systemd/system -name 'blkferry@*.service'"
	# An upgrade and an installation start and restart nothing.
	! scriptlet blkferry postinstall | grep -E 'systemctl .*(start|enable)' ||
		fail "started by the installation"
	! scriptlet blkferry postuninstall | grep -E 'restart|stop' ||
		fail "disturbed by an upgrade"
}

run_case "both kinds of packages build" both_build
version=$(rpm -qp --qf '%{VERSION}' "$out"/blkferry-[0-9]*.rpm)
run_case "the command's packages hold the same" same_content blkferry 9
run_case "the module's packages hold the same" same_content blkferry-dkms 30
run_case "scriptlets are what the shell reads" scriptlets_are_shell
run_case "DKMS gets the module and loses it" module_by_dkms
run_case "units are known, started by nobody, stopped with the removal" \
	units_stop_with_the_removal
