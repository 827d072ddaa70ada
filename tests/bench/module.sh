#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the module costs. Instructions are counted: the guest's clock advances one
# nanosecond an instruction, so the figures repeat whatever else the machine does.
# Only two cores at once are timed, and told as a ratio of turns taken.
# METRICS: tracked_write_instructions tracked_write_instructions_first tracked_write_instructions_batched tracked_write_instructions_beneath_lv tracked_write_instructions_lv tracked_write_instructions_lv_first tracked_write_ratio_two_cores walk_scale_ratio walk_ns_per_extent begin_ms map_bytes_per_tib map_bytes_per_tib_scattered
# shellcheck source=tests/bench/bench.bash
. "$(dirname "$0")/bench.bash"

# in_guest SCRIPT [OPTION...]: its verdict goes to standard output.
in_guest() {
	local script=tests/bench/guest/$1.sh name=bench-$1
	shift
	tools/vm --name "$name" --mem 2048 --limit "${BENCH_LIMIT:-2400}" \
		--module null_blk --file tests/bench/guest/disks.bash:/t/disks.bash \
		"$@" run "$script" >&2
	grep -v '^exit ' "build/vm/$name/verdict"
}

# counted SCRIPT [OPTION...]: in a guest whose clock counts.
counted() {
	in_guest "$@" --cpus 1 --qemu -icount --qemu shift=0,sleep=off
}

# read_figures: "NAME FIGURE..." lines of standard input go to $figures.
declare -A figures=()
read_figures() {
	local name rest
	while read -r name rest; do
		figures[$name]=$rest
	done
}

# added BEFORE AFTER: instructions that a write takes more, by names of IOPS.
added() {
	calc "1000000000 / ${figures[$2]} - 1000000000 / ${figures[$1]}" 0
}

# emit_added METRIC GOAL UNTRACKED TRACKED [MORE]: MORE goes to the peers.
emit_added() {
	local untracked=${figures[$3]} tracked=${figures[$4]}
	emit "$1" "$(added "$3" "$4")" "$2" "instructions a write" \
		"{\"untracked_iops\":$untracked,\"tracked_iops\":$tracked,\"ratio\":$(calc "$tracked / $untracked" 4)${5:+,$5}}"
}

bench_write() {
	make -s guest-tests >&2
	read_figures < <(counted write --tool fio --module dm-era \
		--file build/guest/consumer:/t/bin/consumer)
	emit_added tracked_write_instructions 100 plain tracked \
		"\"dm_linear_instructions\":$(added plain linear),\"dm_era_instructions\":$(added plain era),\"dm_linear_ratio\":$(calc "${figures[linear]} / ${figures[plain]}" 4),\"dm_era_ratio\":$(calc "${figures[era]} / ${figures[plain]}" 4)"
	emit_added tracked_write_instructions_first null plain_first tracked_first \
		"\"when\":\"right after a swap, each block once\",\"dm_linear_instructions\":$(added plain_first linear_first),\"dm_era_instructions\":$(added plain_first era_first)"
	emit_added tracked_write_instructions_batched 100 batched batched_tracked \
		"\"batches\":${figures[batches]},\"writes\":${figures[writes]},\"ended_singly\":${figures[singly]}"
	emit_added tracked_write_instructions_beneath_lv 300 linear linear_below
	emit_added tracked_write_instructions_lv 300 linear linear_tracked
	emit_added tracked_write_instructions_lv_first null linear_first linear_tracked_first
}

# Turns in a row: what else the machine does is the same for both of one.
bench_cores() {
	local turns
	make -s guest-tests >&2
	turns=$(in_guest write-cores --cpus 2 --tool fio \
		--file build/guest/consumer:/t/bin/consumer)
	# shellcheck disable=SC2046  # numbers
	emit tracked_write_ratio_two_cores \
		"$(median $(awk '{ printf "%.3f ", $2 / $1 }' <<<"$turns"))" null \
		"IOPS tracked / untracked" \
		"{\"ratios\":[$(awk '{ printf "%s%.3f", (NR > 1 ? "," : ""), $2 / $1 }' <<<"$turns")],\"untracked_iops\":$(median $(awk '{ print $1 }' <<<"$turns"))}"
}

bench_walk() {
	local small_begin small large_begin large extents
	make -s guest-tests bench-programs >&2
	read_figures < <(counted walk --file build/bench/walk:/t/bin/walk)
	read -r small_begin small extents <<<"${figures[small]}"
	read -r large_begin large extents <<<"${figures[large]}"
	emit walk_scale_ratio "$(calc "$large / $small")" 1.2 "64 TiB / 64 GiB" \
		"{\"small_instructions\":$small,\"large_instructions\":$large}"
	emit walk_ns_per_extent "$(calc "$large / $extents" 0)" null \
		"instructions an extent, walk and commit" \
		"{\"extents\":$extents,\"of_64_gib\":$(calc "$small / $extents" 0)}"
	emit begin_ms "$(calc "$large_begin / 1000000")" null \
		"ms of guest time, grace period included" \
		"{\"of_64_gib\":$(calc "$small_begin / 1000000")}"
	emit map_bytes_per_tib "${figures[full]}" $((32 * 1048576 + 524288)) bytes
	emit map_bytes_per_tib_scattered "${figures[scattered]}" $((32 * 1048576 + 524288)) \
		bytes '{"touched":"1 % of all blocks, at random"}'
}

if want tracked_write_instructions tracked_write_instructions_first \
	tracked_write_instructions_batched tracked_write_instructions_beneath_lv \
	tracked_write_instructions_lv tracked_write_instructions_lv_first; then
	bench_write
fi
if want tracked_write_ratio_two_cores; then bench_cores; fi
if want walk_scale_ratio walk_ns_per_extent begin_ms map_bytes_per_tib \
	map_bytes_per_tib_scattered; then
	bench_walk
fi
