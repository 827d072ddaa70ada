# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: a passthrough command is decoded, whichever direction its data has:
# harmless ones are counted, writes whose range is known mark it, all others
# raise the reason "passthrough", which stands until a resync that began after
# it is complete.
# VM: disks=virtio:256M+scsi:192M,dpofua=on+nvme:320M limit=300 tools=nvme kernels=all+generic+rt+fault check=5.10+7+fault
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash

harmless() {
	track s "$d1"
	sg_inq "$d1"
	sg_turs "$d1"
	sg_readcap "$d1"
	sg_readcap --16 "$d1"
	sg_modes "$d1"
	sg_sync "$d1"
	[ "$(stat_of s passthrough_harmless)" -ge 6 ]
	eq "$(stat_of s passthrough_opaque)" 0 opaque
	eq "$(reason_of s passthrough)" "0 0" "reason passthrough"
	dirty_is s "$d1" -
}

write_by_sg() {
	track s "$d1"
	sg_dd if=/dev/urandom of="$d1" blk_sgio=1 bs=512 count=16 bpt=8 seek=100
	eq "$(stat_of s passthrough_opaque)" 0 opaque
	dirty_is s "$d1" "$(blocks 100 16)"
}

write_same() {
	track s "$d1"
	dd if=/dev/zero of=/tmp/block bs=512 count=1 status=none
	sg_write_same --16 --in=/tmp/block --lba=4000 --num=100 "$d1"
	dirty_is s "$d1" "$(blocks 4000 100)"
}

# WRITE (10) sent as if it read, and without data: the direction is no filter.
write_in_disguise() {
	track s "$d1"
	whatever sg_raw --request=4096 --outfile=/dev/null "$d1" \
		2a 00 00 00 10 00 00 00 08 00
	dirty_is s "$d1" "4096+8"
	whatever sg_raw "$d1" 2a 00 00 00 20 00 00 00 08 00
	dirty_is s "$d1" "8192+8"
}

unmap_is_not_lost() {
	local got
	track s "$d1"
	sg_unmap --lba=16384 --num=64 "$d1"
	got=$(drained s "$d1")
	[ "$got" = "16384+64" ] || eq "$(reason_of s passthrough)" "1 0" "reason passthrough"
}

opaque() {
	track s "$d1"
	whatever sg_raw "$d1" c0 00 00 00 00 00
	eq "$(reason_of s passthrough)" "1 0" "reason passthrough"
	eq "$(stat_of s passthrough_opaque)" 1 opaque
}

# Cleared only up to the counter that the resync saw at its begin.
reason_is_sticky() {
	track s "$d1"
	whatever sg_raw "$d1" c0 00 00 00 00 00
	drained s "$d1"
	eq "$(reason_of s passthrough)" "1 0" "after a pass that is no resync"
	start_consumer
	ask_ok begin s "$d1"
	whatever sg_raw "$d1" c0 00 00 00 00 00
	ask_ok finish s - resynced
	eq "$(reason_of s passthrough)" "2 1" "raised again during the resync"
	consumer "begin s $d1" "finish s - resynced"
	eq "$(reason_of s passthrough)" "2 2" "after a second resync"
}

tells_of_it() {
	track s "$d1"
	start_consumer
	ask_ok event 0
	whatever sg_raw "$d1" c0 00 00 00 00 00
	ask_ok event 10000
	eq "$reply" "ok event=1 name=s reason=1" event
}

aborted_resync_clears_nothing() {
	track s "$d1"
	whatever sg_raw "$d1" c0 00 00 00 00 00
	consumer "begin s $d1" "abort s"
	eq "$(reason_of s passthrough)" "1 0" "reason passthrough"
}

nvme_write() {
	track n "$d2"
	dd if=/dev/urandom of=/tmp/block bs=4096 count=1 status=none
	nvme write "$d2" --start-block=64 --block-count=7 --data-size=4096 --data=/tmp/block
	[ "$(drained n "$d2")" = "64+8" ] ||
		eq "$(reason_of n passthrough)" "1 0" "reason passthrough"
}

run_case "harmless commands are counted, no more" harmless
run_case "SG_IO writes mark their range" write_by_sg
run_case "WRITE SAME marks its range" write_same
run_case "a write sent as a read marks its range" write_in_disguise
run_case "UNMAP marks its range or raises the reason" unmap_is_not_lost
run_case "an unknown command raises the reason" opaque
run_case "the reason stands until a later resync is complete" reason_is_sticky
run_case "the reason is told as an event" tells_of_it
run_case "an aborted resync clears nothing" aborted_resync_clears_nothing
run_case "an NVMe command that writes marks or raises the reason" nvme_write
