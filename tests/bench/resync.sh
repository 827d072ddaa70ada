#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A resync by digests: 2 GiB in memory on both sides that differ in 524 scattered
# blocks of 4 KiB, over TLS on loopback, beside openssl's SHA-256 over both files
# at once; what it reads of a disk beside a sequential read of the same file; and
# how soon a copy is back at work when the network is. Turns are taken, medians
# told.
# METRICS: resync_vs_sha256 resync_wire_ratio resync_read_ratio recovery_ms
# shellcheck source=tests/bench/bench.bash
. "$(dirname "$0")/bench.bash"

mib=${BENCH_MIB:-2048}
rounds=${BENCH_ROUNDS:-3}
differences=524
source=$bench_tmp/source.img
target=$bench_tmp/target.img

# Every block is written anew with something else, far apart, by their number.
spoil() {
	local i
	for ((i = 0; i < differences; i++)); do
		printf 'round %d block %d' "$1" "$i" |
			dd of="$target" bs=4K seek=$(((i * 7919 + 11) * (mib / 4) / differences % (mib * 256))) \
				conv=notrunc,sync status=none
	done
}

both_sums() {
	openssl dgst -sha256 "$source" &
	openssl dgst -sha256 "$target"
	wait $!
}

resync() {
	timed copy_to far "$source" --resync --compression none --json
}

# Over TLS; what is sent is the differing blocks, the rest is questions. Digests
# come the other way: 16 bytes for each 4 KiB.
bench_digests() {
	local round ours="" sums="" wire raw data digests
	make_content "$source" "$mib"
	cp "$source" "$target"
	for ((round = 1; round <= rounds; round++)); do
		spoil "$round"
		start_receiver "far=$target"
		resync
		ours+="$seconds "
		wire=$(jq .wire_bytes "$bench_tmp/timed.out")
		raw=$(jq .last_pass.raw_bytes "$bench_tmp/timed.out")
		data=$(jq .last_pass.data_bytes "$bench_tmp/timed.out")
		stop_receiver
		cmp "$source" "$target"
		timed both_sums
		sums+="$seconds "
	done
	digests=$((mib * 256 * 16))
	# shellcheck disable=SC2086  # numbers
	emit resync_vs_sha256 "$(calc "$(median $ours) / $(median $sums)")" 0.7 "ratio of times" \
		"{\"seconds\":$(median $ours),\"sha256_seconds\":$(median $sums),\"bdsync_seconds\":2.5}"
	emit resync_wire_ratio "$(calc "$wire / $data")" 1.1 \
		"wire bytes / differing bytes that are not zero" \
		"{\"wire_bytes\":$wire,\"differing_bytes\":$raw,\"of_them_zero\":$((raw - data)),\"digest_bytes\":$digests,\"with_digests\":$(calc "($wire + $digests) / $raw")}"
	rm -f "$source" "$target"
}

drop_caches() { sync && echo 3 >/proc/sys/vm/drop_caches; }

# The source on this machine's disk, past the page cache; the target in memory.
bench_read() {
	local round ours="" disks="" disk
	disk=$(mktemp "${BENCH_DISK:-/var/tmp}/blkferry-bench.XXXXXX")
	make_content "$disk" "$mib"
	cp "$disk" "$target"
	for ((round = 1; round <= rounds; round++)); do
		drop_caches
		timed dd if="$disk" of=/dev/null bs=1M iflag=direct
		disks+="$seconds "
		drop_caches
		start_receiver "far=$target"
		timed copy_to far "$disk" --resync
		stop_receiver
		ours+="$seconds "
	done
	rm -f "$disk" "$target"
	# shellcheck disable=SC2086  # numbers
	emit resync_read_ratio "$(calc "$(median $disks) / $(median $ours)")" 0.9 "of the disk's rate" \
		"{\"disk_mib_s\":$(calc "$mib / $(median $disks)" 0),\"resync_mib_s\":$(calc "$mib / $(median $ours)" 0)}"
}

now_ms() { date +%s%3N; }

# until_more FILE PATTERN COUNT: lines that match; for 90 s at most.
until_more() {
	local end=$((SECONDS + 90)) idle
	exec {idle}<> <(:)
	until [ "$(grep -c "$2" "$1")" -gt "$3" ]; do
		[ "$SECONDS" -le "$end" ] || { cat "$1" >&2 && return 1; }
		read -r -t 0.005 -u "$idle" _ || :
	done
	exec {idle}>&-
}

no_networks() {
	local name
	for name in bfbench-near bfbench-far; do
		[ ! -e "/run/netns/$name" ] || ip netns del "$name"
	done
}

# Two hosts with a cable between them, which is pulled for longer than the
# time-out: from its being back until the receiver has let a session in.
bench_recovery() {
	local round before back copier times="" near=bfbench-near far=bfbench-far
	make_content "$source" 512
	for ((round = 1; round <= rounds; round++)); do
		no_networks
		ip netns add "$near"
		ip netns add "$far"
		ip -n "$near" link add cable type veth peer name cable netns "$far"
		ip -n "$near" addr add 10.77.0.1/24 dev cable
		ip -n "$far" addr add 10.77.0.2/24 dev cable
		ip -n "$near" link set cable up
		ip -n "$far" link set cable up
		new_target "$target" 512
		listen_on=10.77.0.2 receiver_prefix="ip netns exec $far" start_receiver "far=$target"
		bf="ip netns exec $near $bf" recovering &
		copier=$!
		wait_line "$bench_tmp/receiver.log" 'is claimed'
		ip -n "$far" link set cable down
		until_more "$bench_tmp/recovery.log" 'trying again' 0
		before=$(grep -c 'is claimed' "$bench_tmp/receiver.log")
		ip -n "$far" link set cable up
		back=$(now_ms)
		until_more "$bench_tmp/receiver.log" 'is claimed' "$before"
		times+="$(($(now_ms) - back)) "
		wait "$copier"
		stop_receiver
		cmp "$source" "$target"
		no_networks
	done
	# shellcheck disable=SC2086  # numbers
	emit recovery_ms "$(median $times)" 2000 "ms, network back to session claimed" \
		"{\"all_ms\":[$(echo $times | tr ' ' ,)]}"
	rm -f "$source" "$target"
}

recovering() {
	$bf copy "$source" "$address/far" --peer "$peer" --key "$bench_tmp/near.key" \
		--rate 20M --run-dir "$bench_tmp/run" --records-dir "$bench_tmp/near.records" \
		>"$bench_tmp/recovery.log" 2>&1
}

! want resync_vs_sha256 resync_wire_ratio || bench_digests
! want resync_read_ratio || bench_read
! want recovery_ms || bench_recovery
