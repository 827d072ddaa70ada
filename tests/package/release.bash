# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The packages in a root of one Debian release: built there with that release's
# compiler, without a word from lintian; installing them makes DKMS build the
# module for the kernel there, a second kernel gets it as well, and a purge
# leaves no file behind. Runs in the root (tools/root), with the tree in /src.
# shellcheck source=tests/lib.sh
. /src/tests/lib.sh

# Only first_kernel's headers are there at first.
first_kernel=$(basename "$(find /lib/modules -mindepth 1 -maxdepth 1)")
version=$(sed -n '1s/.*(\(.*\)).*/\1/p' /src/dkms/debian/changelog)

# Without what package manager, depmod and DKMS (its key) keep for themselves.
files() {
	find / -xdev \( -path /tmp -o -path /out -o -path /src -o -path /proc \
		-o -path /dev -o -path /sys -o -path /var/log \
		-o -path /var/lib/dpkg -o -path /var/cache -o -path /var/lib/dkms \
		-o -path '/usr/lib/modules/*/modules.*' \) -prune -o -print | sort
}

packages_build() {
	make -C /src -s deb B=/out
	[ -f "/out/blkferry_${version}_amd64.deb" ]
	[ -f "/out/blkferry-dkms_${version}_all.deb" ]
}

lintian_is_silent() {
	lintian --allow-root --fail-on error,warning /out/*.deb >"$test_tmp/lintian"
	[ ! -s "$test_tmp/lintian" ] || { cat "$test_tmp/lintian" && return 1; }
}

versions_agree() {
	grep -qF "MODULE_VERSION(\"$version\")" /src/kmod/main.c
	eq "$(dpkg-deb -f "/out/blkferry_${version}_amd64.deb" Version)" "$version"
}

module_of() { find "/lib/modules/$1/updates" -name 'blkferry.ko*'; }

# has_module KERNEL: installed by DKMS and made for that kernel.
has_module() {
	local ko
	dkms status -k "$1" | tee "$test_tmp/status"
	grep -qE "^blkferry[,/] ?$version, ${1//+/[+]}, x86_64: installed" "$test_tmp/status"
	ko=$(module_of "$1")
	[ -n "$ko" ]
	modinfo -F vermagic "$ko" | grep -qF "$1 "
	eq "$(modinfo -F version "$ko")" "$version"
}

installing_builds_the_module() {
	dpkg -i /out/*.deb
	has_module "$first_kernel"
}

command_runs() {
	blkferry --version | grep -q '^blkferry '
	eq "$(stat -c %a /etc/blkferry /etc/blkferry/jobs | sort -u)" 700
	dpkg -L blkferry | grep -q 'systemd/system/blkferry@.service$'
}

second_kernel_gets_it() {
	local second
	dpkg -i /second/*.deb
	second=$(find /lib/modules -mindepth 1 -maxdepth 1 ! -name "$first_kernel" \
		-name '*-amd64' -printf '%f\n')
	has_module "$second"
	has_module "$first_kernel"
}

# Secure Boot: DKMS signs with a key that mokutil can enrol.
module_is_signed() {
	local ko
	dkms --version | grep -qE '[ -]3\.' || skip "DKMS before 3 signs only when told how"
	ko=$(module_of "$first_kernel")
	[ -n "$(modinfo -F sig_key "$ko")" ]
	openssl x509 -inform DER -in /var/lib/dkms/mok.pub -noout -subject
}

reinstalling_keeps_all() {
	echo '[job]' >/etc/blkferry/jobs/kept.conf
	dpkg -i /out/*.deb
	has_module "$first_kernel"
	[ -f /etc/blkferry/jobs/kept.conf ]
}

purging_leaves_nothing() {
	dpkg -r blkferry blkferry-dkms
	[ -f /etc/blkferry/jobs/kept.conf ]
	dpkg -P blkferry
	for package in /second/*.deb; do
		dpkg-deb -f "$package" Package
	done | xargs dpkg -P
	# What depmod made beside them.
	find /lib/modules/ -mindepth 2 -maxdepth 2 -name 'modules.*' -delete
	find /lib/modules/ -mindepth 1 -maxdepth 1 -type d -empty -delete
	files >"$test_tmp/after"
	diff "$test_tmp/before" "$test_tmp/after"
}

files >"$test_tmp/before"
run_case "both packages build" packages_build
run_case "lintian has nothing to say" lintian_is_silent
run_case "module, command and packages are of one version" versions_agree
run_case "installing builds the module for the kernel there" installing_builds_the_module
run_case "the command runs and its configuration is root's alone" command_runs
run_case "a second kernel gets the module when it is installed" second_kernel_gets_it
run_case "DKMS signs the module with its own key" module_is_signed
run_case "installing again keeps configuration and module" reinstalling_keeps_all
run_case "removing keeps the configuration, a purge leaves nothing" purging_leaves_nothing
