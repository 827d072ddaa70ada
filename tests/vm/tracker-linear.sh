# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: md linear is refused on kernels where it hands on the very bio that it
# was given, and tracked where it clones it. (6.8 to 6.13 have no md linear.)
# VM: disks=virtio:256M+scsi:192M,dpofua=on+nvme:320M mem=768 turns=yes limit=300 kernels=5.10+6.1 check=5.10+6.1 tools=mdadm modules=md-linear
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash
# shellcheck source=tests/vm/disks.bash
. /t/tests/vm/disks.bash

refused() {
	md linear 2
	cleanup_fn whatever consumer "untrack a"
	fails_saying "^error EOPNOTSUPP .*members" consumer "track a $disk"
}

# Over the border of two members as well.
tracked() {
	local border
	md linear 2
	remember "$disk"
	track a "$disk"
	border=$(($(sectors "$disk") / 2))
	write_at "$disk" 24 40
	write_at "$disk" $((border - 512)) 1024
	blkdiscard -z -o 4M -l 3M "$disk"
	covers_all_changes a "$disk"
	cleanup_fn whatever consumer "untrack oracle"
	oracle "$disk" 7 150
	eq "$(reason_of a unseen)" "0 0" unseen
}

if is_old; then
	run_case "md linear is refused" refused
else
	run_case "md linear is tracked" tracked
fi
