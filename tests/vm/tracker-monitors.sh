# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: the programs that watch disks raise nothing, with whatever commands they
# ask them: smartctl and smartd, udev with its rules, multipath and multipathd,
# hdparm, nvme. A self-test, of which no standard says that it leaves the blocks
# alone, does raise the reason.
# VM: mem=1024 disks=virtio:256M+scsi:192M,dpofua=on+nvme:320M+ide:128M limit=400 kernels=5.10+6.1+7 tools=smartctl+smartd+multipath+multipathd+udevadm+hdparm+nvme+lsblk+sg_vpd modules=dm_multipath+dm_round_robin+dm_service_time+dm_queue_length
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash

scsi=$(realpath "$d1") nvme=$(realpath "$d2") ata=$(realpath /dev/vm/d3)

track_all() {
	track v "$d0"
	track s "$scsi"
	track n "$nvme"
	track a "$ata"
}

# asked NAME LEAST: that tracker saw so many commands, all harmless.
asked() {
	local harmless
	harmless=$(stat_of "$1" passthrough_harmless)
	[ "$harmless" -ge "$2" ] || fail "$1 saw $harmless commands, wanted $2 at least"
}

nothing_is_raised() {
	local name
	for name in v s n a; do
		eq "$(stat_of $name passthrough_opaque)" 0 "opaque commands to $name"
		eq "$(reason_of $name passthrough)" "0 0" "reason passthrough of $name"
		eq "$(stat_of $name dirty_bytes)" 0 "dirty bytes of $name"
	done
}

# Their status says what they think of the disk; what counts is what they sent.
smartctl_reads() {
	track_all
	whatever smartctl -x "$scsi"
	whatever smartctl -x "$nvme"
	whatever smartctl -x "$ata"
	asked s 5
	asked a 3
	nothing_is_raised
}

smartd_looks() {
	track_all
	printf '%s -d scsi -d removable -a\n%s -d sat -a\n%s -d nvme -a\n' "$scsi" "$ata" "$nvme" \
		>/tmp/smartd.conf
	whatever smartd -q onecheck -c /tmp/smartd.conf
	asked s 3
	asked a 3
	nothing_is_raised
}

hdparm_reads() {
	track_all
	whatever hdparm -I "$ata"
	whatever hdparm -C "$ata"
	asked a 2
	nothing_is_raised
}

sg_tools_read() {
	track_all
	whatever sg_logs -a "$scsi"
	whatever sg_vpd -a "$scsi"
	whatever sg_logs -a "$ata"
	asked s 4
	nothing_is_raised
}

nvme_reads() {
	track_all
	nvme id-ctrl "$nvme"
	nvme id-ns "$nvme"
	nvme smart-log "$nvme"
	nvme error-log "$nvme"
	nvme list
	nothing_is_raised
}

udev_names_them() {
	mkdir -p /run/udev
	(exec -a systemd-udevd udevadm --daemon)
	cleanup_fn stop_udev
	track_all
	udevadm trigger --subsystem-match=block --action=add
	udevadm settle --timeout=60
	ls /dev/disk/by-id
	[ -n "$(ls /dev/disk/by-id/scsi-*_d1 /dev/disk/by-id/ata-*_d3 /dev/disk/by-id/nvme-*_d2)" ]
	blkid -p "$scsi" || :
	lsblk -O >/dev/null
	# Its rules call these where sysfs does not tell.
	/lib/udev/scsi_id --export --whitelisted -d "$scsi"
	/lib/udev/ata_id --export "$ata"
	asked s 1
	asked a 1
	nothing_is_raised
}

stop_udev() {
	local pid
	for pid in $(pidof systemd-udevd); do
		kill -KILL "$pid"
	done
}

maps_are_there() { timeout 10 multipathd show maps | grep -c '_d1\|_d3' | grep -qx 2; }

end_multipathd() {
	kill -KILL "$(cat /tmp/multipathd.pid)" || :
	timeout 20 multipath -F || :
}

# With maps of all three disks, whose paths it asks each second.
multipathd_checks() {
	modprobe -a dm_multipath dm_round_robin dm_service_time dm_queue_length
	# Where udev's rules for dm look for it.
	ln -sf /usr/bin/dmsetup /usr/sbin/dmsetup
	mkdir -p /etc/multipath
	cat >/etc/multipath.conf <<-END
		defaults {
			find_multipaths no
			path_checker tur
			polling_interval 1
			user_friendly_names yes
		}
		blacklist {
			devnode "^(vd|loop|sr)"
		}
	END
	(exec -a systemd-udevd udevadm --daemon)
	cleanup_fn stop_udev
	udevadm trigger --subsystem-match=block --action=add
	udevadm settle --timeout=60
	track_all
	multipathd -d -s -v2 >/tmp/multipathd.log 2>&1 &
	echo $! >/tmp/multipathd.pid
	cleanup_fn end_multipathd
	wait_until 60 maps_are_there
	wait_until 60 asked s 5
	wait_until 60 asked a 5
	timeout 20 multipath -ll
	nothing_is_raised
}

self_test_is_told() {
	track_all
	whatever smartctl -t short "$scsi"
	eq "$(reason_of s passthrough)" "1 0" "reason passthrough"
	eq "$(reason_of a passthrough)" "0 0" "reason passthrough of another disk"
}

run_case "smartctl reads all that it can" smartctl_reads
run_case "smartd looks" smartd_looks
run_case "hdparm reads" hdparm_reads
run_case "sg_logs and sg_vpd read" sg_tools_read
run_case "nvme reads" nvme_reads
run_case "udev names the disks" udev_names_them
run_case "multipathd checks its paths" multipathd_checks
run_case "a self-test raises the reason" self_test_is_told
