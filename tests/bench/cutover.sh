#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A hundred cutovers, or as many as fit into a quarter of an hour (each line says),
# in one guest whose clock counts instructions (1 ns each, on one processor that
# does source and target's work both), between memory disks: what they last beyond
# FIFREEZE, and how far the projection of all of it was off. The dirty bytes' own
# time on the loopback is not taken off, and the thaw counts, so the overhead is an
# upper bound.
# METRICS: cutover_overhead_ms_p50 cutover_overhead_ms_p99 forecast_error_p90
# shellcheck source=tests/bench/bench.bash
. "$(dirname "$0")/bench.bash"

cutovers=${BENCH_CUTOVERS:-100}

# percentile P: of the numbers on standard input.
percentile() {
	sort -g | awk -v p="$1" '{ v[NR] = $1 }
		END { at = int(NR * p / 100 + 0.999999); print v[at < 1 ? 1 : at] }'
}

options() {
	local word
	for word in mkfs.ext4 wipefs fsfreeze mountpoint dmsetup lvm; do
		echo --tool "$word"
	done
	for word in null_blk ext4 configfs loop dm-mod; do
		echo --module "$word"
	done
}

echo "cutovers=$cutovers" >"$bench_tmp/settings"
# shellcheck disable=SC2046  # words
tools/vm --name bench-cutover --cpus 1 --mem 1024 --limit "${BENCH_LIMIT:-900}" \
	--qemu -icount --qemu shift=0,sleep=off $(options) \
	--file "$bf:/t/bin/blkferry" --file "$bench_tmp/settings:/t/settings" \
	--file tests:/t/tests run tests/bench/guest/cutover.sh >&2 || [ $? -eq 124 ]
# In ms but for bytes and the error: beyond FIFREEZE, all, FIFREEZE, bytes,
# projected, error.
awk 'NF == 4 { off = $1 > $2 ? $1 - $2 : $2 - $1
	print ($2 - $3) / 1e6, $2 / 1e6, $3 / 1e6, $4, $1 / 1e6, off / $2 }' \
	build/vm/bench-cutover/verdict >"$bench_tmp/cutovers"
cutovers=$(wc -l <"$bench_tmp/cutovers")
[ "$cutovers" -ge 10 ] || { echo "only $cutovers cutovers in time" >&2 && exit 1; }

# of COLUMN P: a percentile over the cutovers.
of() {
	cut -d ' ' -f "$1" "$bench_tmp/cutovers" | percentile "$2"
}

for p in 50 99; do
	emit "cutover_overhead_ms_p$p" "$(of 1 $p)" 50 "ms of guest time" \
		"{\"cutovers\":$cutovers,\"downtime_ms\":$(of 2 $p),\"freeze_ms\":$(of 3 $p),\"dirty_bytes\":$(of 4 $p)}"
done
emit forecast_error_p90 "$(of 6 90)" 0.25 "|projected - measured| / measured" \
	"{\"cutovers\":$cutovers,\"projected_ms_p50\":$(of 5 50),\"downtime_ms_p50\":$(of 2 50),\"error_p50\":$(of 6 50)}"
