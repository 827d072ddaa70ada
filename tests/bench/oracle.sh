#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Blocks that are marked though nothing touched them, of all that are marked: the
# tests' oracle counts both while it changes blk-mq disks in every way and drains
# their tracker. The reserve of leaves is never dry; where it is, a mark stands
# for 1,024 blocks, which is another matter.
# METRICS: unneeded_marks_ratio
# shellcheck source=tests/bench/bench.bash
. "$(dirname "$0")/bench.bash"

operations=3900	# on each disk by each seed: few enough for small generations
seeds=${BENCH_SEEDS:-5}

make -s guest-tests >&2
echo "operations=$operations seeds=$seeds" >"$bench_tmp/settings"
tools/vm --name bench-oracle --mem 1024 --limit "${BENCH_LIMIT:-900}" \
	--disk virtio:256M --disk scsi:192M,dpofua=on --disk nvme:320M \
	--file build/guest/oracle:/t/bin/oracle --file "$bench_tmp/settings:/t/settings" \
	run tests/bench/guest/oracle.sh >&2
awk -v operations=$((3 * seeds * operations)) '
	$1 == "exit" { next }
	{ marked += $1; unneeded += $2; coarse += $3 }
	END {
		if (!marked || coarse) {
			print "the reserve was dry, or nothing was marked" >"/dev/stderr"
			exit 1
		}
		printf "%.6f {\"marked_blocks\":%d,\"unneeded_blocks\":%d,\"operations\":%d}\n",
			unneeded / marked, marked, unneeded, operations
	}' build/vm/bench-oracle/verdict >"$bench_tmp/ratio"
read -r ratio details <"$bench_tmp/ratio"
emit unneeded_marks_ratio "$ratio" 0.01 "blocks / blocks marked" "$details"
