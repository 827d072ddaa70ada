#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the module costs. Instructions are counted: the guest's clock advances one
# nanosecond an instruction, so the figures repeat whatever else the machine does.
# METRICS: tracked_write_instructions walk_scale_ratio map_bytes_per_tib
# shellcheck source=tests/bench/bench.bash
. "$(dirname "$0")/bench.bash"

# counted SCRIPT [OPTION...]: runs it in a guest whose clock counts; its verdict
# goes to standard output.
counted() {
	local script=$1 name
	name=bench-$(basename "$script" .sh)
	shift
	tools/vm --name "$name" --cpus 1 --mem 2048 --limit 900 \
		--qemu -icount --qemu shift=0,sleep=off "$@" \
		run "$script" >&2
	grep -v '^exit ' "build/vm/$name/verdict"
}

bench_write() {
	local untracked tracked
	make -s guest-tests >&2
	read -r untracked tracked < <(counted tests/bench/guest/write.sh \
		--tool fio --module null_blk --file build/guest/consumer:/t/bin/consumer)
	emit tracked_write_instructions \
		"$(awk -v u="$untracked" -v t="$tracked" 'BEGIN { printf "%.0f", 1e9 / t - 1e9 / u }')" \
		100 "instructions a write" \
		"{\"untracked_iops\":$untracked,\"tracked_iops\":$tracked,\"ratio\":$(awk -v u="$untracked" -v t="$tracked" 'BEGIN { printf "%.4f", t / u }')}"
}

bench_walk() {
	local small large map
	make -s guest-tests bench-programs >&2
	read -r small large map < <(counted tests/bench/guest/walk.sh \
		--module null_blk --file build/bench/walk:/t/bin/walk \
		--file build/guest/consumer:/t/bin/consumer)
	emit walk_scale_ratio \
		"$(awk -v s="$small" -v l="$large" 'BEGIN { printf "%.3f", l / s }')" \
		1.2 "64 TiB / 64 GiB" \
		"{\"small_instructions\":$small,\"large_instructions\":$large}"
	emit map_bytes_per_tib "$map" $((32 * 1048576 + 524288)) bytes
}

if want tracked_write_instructions; then bench_write; fi
if want walk_scale_ratio map_bytes_per_tib; then bench_walk; fi
