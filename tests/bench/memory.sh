#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Memory: the peak of the control group, all processes, with direct I/O on a disk
# so that no page cache counts. A full copy at 16 GiB, and 10,000 scattered blocks
# at 16 TiB, whose socket bytes are counted as well.
# METRICS: rss_mib_source rss_mib_target rss_mib_source_16t rss_mib_target_16t wire_amplification_4k
export BENCH_TMP=${BENCH_DISK:-/var/tmp}
# shellcheck source=tests/bench/bench.bash
. "$(dirname "$0")/bench.bash"

source=$bench_tmp/source.img
target=$bench_tmp/target.img

# grouped_copy SUFFIX BYTES [OPTION...]
grouped_copy() {
	local suffix=$1 near far
	near=$(group_of near)
	far=$(group_of far)
	truncate -s "$2" "$target"
	receiver_prefix="bash $bench_tmp/in_group $far"
	start_receiver "far=$target"
	bash "$bench_tmp/in_group" "$near" "$bf" copy "$source" "$address/far" \
		--peer "$peer" --key "$bench_tmp/near.key" --json \
		--run-dir "$bench_tmp/run" --records-dir "$bench_tmp/near.records" \
		"${@:3}" >"$bench_tmp/outcome"
	stop_receiver
	emit "rss_mib_source$suffix" "$(group_peak_mib "$near")" 64 MiB
	emit "rss_mib_target$suffix" "$(group_peak_mib "$far")" 64 MiB
	rm -f "$target"
}

full() {
	make_content "$source" "${BENCH_MIB:-512}"
	truncate -s 16G "$source"
	grouped_copy "" 16G --compression "${BENCH_LEVEL:-auto}"
}

# 10,000 blocks, one each 1.6 GiB, of random content. ext4 holds 16 TiB less a bit.
scattered() {
	local blocks=10000 size=$((16 * 1099511627776 - 1048576))
	local step=$((size / blocks / 4096 * 4096))
	fio --name=scatter --filename="$source" --rw="write:$((step - 4096))" \
		--bs=4k --size=$((step * blocks)) --io_size=$((blocks * 4096)) \
		--refill_buffers --randseed=1 --fallocate=none --minimal >/dev/null
	truncate -s "$size" "$source"
	awk -v step="$step" -v blocks="$blocks" \
		'BEGIN { for (i = 0; i < blocks; i++) printf "%.0f 4096\n", i * step }' \
		>"$bench_tmp/extents"
	grouped_copy _16t "$size" --extents "$bench_tmp/extents"
	emit wire_amplification_4k \
		"$(calc "$(jq .wire_bytes "$bench_tmp/outcome") / ($blocks * 4096)" 4)" \
		1.06 "socket bytes / changed bytes"
}

make_in_group
if want rss_mib_source rss_mib_target; then full; fi
rm -f "$source"
if want rss_mib_source_16t rss_mib_target_16t wire_amplification_4k; then scattered; fi
