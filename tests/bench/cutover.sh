#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A hundred cutovers in one guest whose clock counts instructions (1 ns each, on
# one processor that does source and target's work both), between memory disks:
# what a freeze lasts, and how far the projection was off. The dirty bytes' own
# time on the loopback is not taken off, so the overhead is an upper bound.
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
	for word in mkfs.ext4 wipefs fsfreeze jq mountpoint dmsetup lvm; do
		echo --tool "$word"
	done
	for word in null_blk ext4 configfs loop dm-mod; do
		echo --module "$word"
	done
}

echo "CUTOVERS=$cutovers" >"$bench_tmp/settings"
# shellcheck disable=SC2046  # words
tools/vm --name bench-cutover --cpus 1 --mem 1024 --limit "${BENCH_LIMIT:-3000}" \
	--qemu -icount --qemu shift=0,sleep=off $(options) \
	--file "$bf:/t/bin/blkferry" --file "$bench_tmp/settings:/t/settings" \
	--file tests:/t/tests run tests/bench/guest/cutover.sh >&2
grep -E '^[0-9]+ [0-9]+ [0-9]+$' build/vm/bench-cutover/verdict >"$bench_tmp/cutovers"
[ "$(wc -l <"$bench_tmp/cutovers")" -eq "$cutovers" ]
for p in 50 99; do
	emit "cutover_overhead_ms_p$p" \
		"$(awk '{ print $2 / 1e6 }' "$bench_tmp/cutovers" | percentile "$p")" \
		50 "ms of guest time" "{\"cutovers\":$cutovers}"
done
emit forecast_error_p90 "$(awk '{ e = ($1 - $2) / $2; print e < 0 ? -e : e }' \
	"$bench_tmp/cutovers" | percentile 90)" 0.25 "|projected - measured| / measured" \
	"{\"cutovers\":$cutovers}"
