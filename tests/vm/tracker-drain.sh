# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: a generation belongs to one descriptor. Committed is what was
# committed through it; all else merges back when it is closed, by whomever and
# however. Nobody else can walk, commit or end it.
# VM: disks=virtio:256M+scsi:192M,dpofua=on+nvme:320M limit=300 kernels=all+generic+rt+fault check=5.10+6.12+7+fault
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash

some='0+8,800+8,8000+16'
dirty_some() {
	consumer "mark $1 0+8 800+8 8000+16"
}

walk_and_commit() {
	track a "$d0"
	dirty_some a
	start_consumer
	ask_ok begin a "$d0"
	eq "$(value blocks "$reply")" 4 blocks
	ask_ok walk a
	eq "$(value extents "$reply")" "$some" extents
	eq "$(value blocks "$reply")" 4 trailer
	ask_ok walk a
	eq "$(value extents "$reply")" "$some" "a walk repeated"
	ask_ok finish a
	ask_error ESTALE walk a
	dirty_is a "$d0" -
}

writes_meanwhile() {
	track a "$d0"
	dirty_some a
	start_consumer
	ask_ok begin a "$d0"
	write_at "$d0" 800 8
	write_at "$d0" 4096 8
	ask_ok walk a
	eq "$(value extents "$reply")" "$some" "the generation stays as it was"
	ask_ok finish a
	dirty_is a "$d0" "800+8,4096+8"
}

walk_from_anywhere() {
	track a "$d0"
	dirty_some a
	start_consumer
	ask_ok begin a "$d0"
	ask_ok window a 808
	eq "$(value extents "$reply")" "8000+16" "from 808"
	ask_ok window a 8008
	eq "$(value extents "$reply")" "8008+8" "from the middle of an extent"
	ask_ok window a "$(blockdev --getsz "$d0")"
	eq "$(value extents "$reply")" "-" "from the end"
	eq "$(value end "$reply")" 1 "the trailer at the end"
}

walk_cut_short() {
	track a "$d0"
	dirty_some a
	start_consumer
	ask_ok begin a "$d0"
	ask_ok window a 0
	kill_consumer
	dirty_is a "$d0" "$some"
}

watermark_then_death() {
	track a "$d0"
	dirty_some a
	start_consumer
	ask_ok begin a "$d0"
	ask_ok walk a
	ask_ok commit a 8
	ask_ok commit a 8008
	kill_consumer
	dirty_is a "$d0" "8008+8"
}

watermark_goes_forward_only() {
	track a "$d0"
	dirty_some a
	start_consumer
	ask_ok begin a "$d0"
	ask_ok commit a 800
	ask_error EINVAL commit a 792
	ask_ok commit a 800
	ask_ok walk a
	eq "$(value extents "$reply")" "800+8,8000+16" "above the watermark"
	eq "$(value blocks "$reply")" 3 "trailer above the watermark"
}

watermark_then_finish() {
	track a "$d0"
	dirty_some a
	start_consumer
	ask_ok begin a "$d0"
	ask_ok commit a 8000
	ask_ok finish a
	dirty_is a "$d0" -
}

wrong_count() {
	track a "$d0"
	dirty_some a
	start_consumer
	ask_ok begin a "$d0"
	ask_error EBADMSG finish a 3
	ask_error EBADMSG finish a 5
	ask_ok walk a
	eq "$(value extents "$reply")" "$some" "nothing changed"
	ask_ok finish a 4
}

aborted() {
	track a "$d0"
	dirty_some a
	start_consumer
	ask_ok begin a "$d0"
	write_at "$d0" 1600 8
	ask_ok abort a
	ask_error ESTALE commit a 8
	ask_error ESTALE abort a
	dirty_is a "$d0" "0+8,800+8,1600+8,8000+16"
}

# A descriptor that outlives its generation: good for nothing but closing.
ended() {
	local fd generation how=$1
	track a "$d0"
	start_consumer
	ask_ok begin a "$d0"
	generation=$(value generation "$reply")
	ask_ok keep a
	fd=$(value fd "$reply")
	ask_ok "$how" a
	ask_error ESTALE foreign "$fd" "$generation" 8
	consumer "begin a $d0" "finish a"
	ask_ok drop "$fd"
}

# Closing one of two descriptors is not closing the drain.
second_descriptor() {
	local fd
	track a "$d0"
	dirty_some a
	start_consumer
	ask_ok begin a "$d0"
	ask_ok keep a
	fd=$(value fd "$reply")
	ask_ok close a
	fails_saying "^error EBUSY ..." consumer "begin a $d0"
	ask_ok drop "$fd"
	dirty_is a "$d0" "$some"
}

closed_and_told() {
	track a "$d0"
	dirty_some a
	start_consumer
	ask_ok event 0
	ask_ok begin a "$d0"
	ask_ok close a
	ask_ok event 10000
	eq "$reply" "ok event=5 name=a reason=0" event
	dirty_is a "$d0" "$some"
}

# Killed right after STEPS: what they committed is gone, the rest is back.
death_after() {
	local left=$1 step
	shift
	track a "$d0"
	dirty_some a
	start_consumer
	for step in "$@"; do
		# shellcheck disable=SC2086  # a step is words
		ask_ok $step
	done
	kill_consumer
	wait_until 10 not_owned a
	dirty_is a "$d0" "$left"
}


begin="begin a $d0"

two_consumers() {
	track a "$d0"
	dirty_some a
	start_consumer
	ask_ok begin a "$d0"
	fails_saying "^error EBUSY ..." consumer "begin a $d0"
	eq "$(value owned "$(consumer 'get a')")" 1 owned
	ask_ok walk a
	eq "$(value extents "$reply")" "$some" "the first is not disturbed"
	fails_saying "^error EBUSY ..." consumer "untrack a"
	ask_ok finish a
	consumer "begin a $d0" "finish a"
}

# Another process: its descriptors are not the owner's.
foreign_process() {
	local fd generation
	track a "$d0"
	dirty_some a
	start_consumer
	ask_ok begin a "$d0"
	fd=$(value fd "$reply") generation=$(value generation "$reply")
	fails_saying "^error EBADF ..." consumer "foreign $fd $generation 8008"
	ask_ok walk a
	eq "$(value extents "$reply")" "$some" extents
}

foreign_generation() {
	local fd_a generation_b
	track a "$d0"
	track b "$d1"
	dirty_some a
	consumer "begin b $d1" "finish b" "begin b $d1" "finish b" >/dev/null
	start_consumer
	ask_ok begin a "$d0" b "$d1"
	fd_a=$(value fd "${reply% b *}")
	generation_b=$(value generation "${reply#* b }")
	ask_error ESTALE foreign "$fd_a" "$generation_b" 8008
	ask_error EBADF foreign 0 "$generation_b" 8008
	ask_ok walk a
	eq "$(value extents "$reply")" "$some" extents
}

# A number that another module's anonymous file has.
not_a_drain() {
	track a "$d0"
	start_consumer
	ask_ok begin a "$d0"
	ask_error EBADF foreign 1 "$(value generation "$reply")" 8
}

child_inherits_nothing() {
	track a "$d0"
	start_consumer
	ask_ok begin a "$d0"
	ask_ok child
	eq "$reply" "ok held=1 inherited=0" "descriptors"
}

generations_never_repeat() {
	local last=0 n lines now
	track a "$d0"
	for n in 1 2 3 4 5; do
		lines=$(consumer "begin a $d0" "$([ $((n % 2)) = 0 ] && echo finish a || echo abort a)")
		now=$(value generation "$lines")
		[ "$now" -gt "$last" ]
		last=$now
	done
}

# All or none: one of three is owned, so none of them is begun.
several_at_once() {
	track a "$d0"
	track b "$d1"
	track c "$d2"
	consumer "mark a 0+8" "mark b 8+8" "mark c 16+8"
	start_consumer
	ask_ok begin b "$d1"
	fails_saying "^error EBUSY ..." consumer "begin a $d0 b $d1 c $d2"
	eq "$(value owned "$(consumer 'get a')")$(value owned "$(consumer 'get c')")" 00 owned
	ask_ok close b
	ask_ok begin a "$d0" b "$d1" c "$d2"
	ask_ok walk b
	eq "$(value extents "$reply")" "8+8" "extents of b"
	ask_ok finish a
	ask_ok finish c
	kill_consumer
	wait_until 10 not_owned b
	dirty_is a "$d0" -
	dirty_is b "$d1" "8+8"
	dirty_is c "$d2" -
}

empty_drain_is_proof() {
	local line
	track a "$d0"
	write_at "$d0" 0 8
	write_at "$d0" 0 8
	line=$(consumer "begin a $d0" "finish a" | head -n 1)
	eq "$(value writes "$line")" 2 "writes seen"
	line=$(consumer "begin a $d0" "finish a" | head -n 1)
	eq "$(value blocks "$line") $(value writes "$line")" "0 0" "blocks, writes"
}

watermark_event() {
	track a "$d0"
	start_consumer
	ask_ok event 0
	ask_ok watermark a 40960
	write_at "$d0" 0 64
	ask_ok event 200
	eq "$reply" "ok none" "below the watermark"
	write_at "$d0" 800 64
	ask_ok event 10000
	eq "$reply" "ok event=4 name=a reason=0" event
	write_at "$d0" 1600 64
	ask_ok event 200
	eq "$reply" "ok none" "once a generation"
}

# Descriptors run out in the middle: nothing was begun.
no_descriptor_left() {
	track a "$d0"
	track b "$d1"
	consumer "mark a 0+8" "mark b 8+8"
	fails_saying "^error (EMFILE|ENFILE) ..." \
		bash -c "ulimit -n 6; consumer 'begin a $d0 b $d1'"
	dirty_is a "$d0" "0+8"
	dirty_is b "$d1" "8+8"
}

run_case "begin, walk, finish" walk_and_commit
run_case "writes during a drain go to the next generation" writes_meanwhile
run_case "a walk from anywhere" walk_from_anywhere
run_case "a walk cut short loses nothing" walk_cut_short
run_case "after a watermark only the rest comes back" watermark_then_death
run_case "the watermark only goes forward" watermark_goes_forward_only
run_case "watermark, then the final commit" watermark_then_finish
run_case "a final commit with a wrong count changes nothing" wrong_count
run_case "abort merges back" aborted
run_case "after the final commit the descriptor is stale" ended finish
run_case "after abort the descriptor is stale" ended abort
run_case "the last of two descriptors counts" second_descriptor
run_case "closing merges back and is told" closed_and_told
run_case "death after begin" death_after "$some" "$begin"
run_case "death within the walk" death_after "$some" "$begin" "window a 0"
run_case "death after the walk" death_after "$some" "$begin" "walk a"
run_case "death after a watermark" death_after "800+8,8000+16" "$begin" "walk a" "commit a 400"
run_case "death after a second watermark" death_after "8008+8" "$begin" "walk a" "commit a 400" "commit a 8008"
run_case "death after the final commit" death_after - "$begin" "walk a" "finish a"
run_case "death after abort" death_after "800+8,8000+16" "$begin" "commit a 400" "abort a"
run_case "two consumers" two_consumers
run_case "another process cannot commit" foreign_process
run_case "another tracker's generation cannot be committed" foreign_generation
run_case "a descriptor that is no drain" not_a_drain
run_case "a child inherits nothing" child_inherits_nothing
run_case "generation numbers never repeat" generations_never_repeat
run_case "several trackers: all or none" several_at_once
run_case "an empty drain says how many writes it saw" empty_drain_is_proof
run_case "the watermark event comes once a generation" watermark_event
run_case "no descriptor left: nothing was begun" no_descriptor_left
