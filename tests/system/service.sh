#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: service.bash beside this file says it. Here a machine is made that
# boots by itself into systemd, with the packages installed, and runs it.
# RUN: limit=1200 in=full
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tools/vm.d/system.sh
. "$tests_dir/../tools/vm.d/system.sh"

work=$test_tmp/machine

# The test as a unit of the machine, started when it is up.
lay_out_files() {
	local units=$work/files/etc/systemd/system
	mkdir -p "$work/files/t/tests/system" "$units/multi-user.target.wants"
	cp "$tests_dir/lib.sh" "$tests_dir/examples.bash" "$work/files/t/tests/"
	cp "$tests_dir/system/service.bash" "$work/files/t/tests/system/"
	cp "$(system_debs)"/blkferry_*.deb "$work/files/t/blkferry.deb"
	cp "$(system_debs)"/blkferry-dkms_*.deb "$work/files/t/blkferry-dkms.deb"
	cat >"$units/test.service" <<-'END'
		[Unit]
		After=network.target dbus.service
		[Service]
		Type=exec
		ExecStart=/bin/sh -c 'bash /t/tests/system/service.bash >/dev/virtio-ports/tap 2>&1; systemctl poweroff'
	END
	ln -s ../test.service "$units/multi-user.target.wants/"
}

machine_is_made() {
	lay_out_files
	system_image "$work" 3G
}

machine_runs() {
	truncate -s 256M "$work/source.img" "$work/target.img"
	system_qemu -serial "file:$work/console.log"
	system_disk "$work/disk.img"
	system_disk "$work/source.img"
	system_disk "$work/target.img"
	system_port tap "$work/tap"
	timeout -k 5 900 qemu-system-x86_64 "${args[@]}" </dev/null || {
		tail -n 40 "$work/console.log" "$work/tap"
		return 1
	}
}

# What the machine said, as this file's own cases.
machine_said() {
	cat "$work/tap"
	grep -q '^1\.\.' "$work/tap"
}

run_case "a machine with the packages is made" machine_is_made
run_case "it boots, runs the test and powers off" machine_runs
run_program machine_said
