#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The read path beside fio: both read the same file of zeroes sequentially with
# io_uring, 1 MiB at a time, 16 at once, directly where the filesystem can. Zeroes
# travel as ranges, so that what follows the reading costs next to nothing.
# METRICS: read_vs_fio
# shellcheck source=tests/bench/bench.bash
. "$(dirname "$0")/bench.bash"

mib=${BENCH_MIB:-2048}
rounds=${BENCH_ROUNDS:-5}
source=$bench_tmp/source.img
head -c "${mib}M" /dev/zero >"$source"
sync "$source"
for ((i = 0; i < rounds; i++)); do
	new_target "$bench_tmp/target.img" "$mib"
	timed "$bf" copy "$source" "$bench_tmp/target.img" --run-dir "$bench_tmp/run" \
		--records-dir "$bench_tmp/near.records"
	ours+=("$seconds")
	fio --name=read --filename="$source" --rw=read --bs=1M --iodepth=16 \
		--ioengine=io_uring --size="${mib}M" --output-format=json \
		--output="$bench_tmp/fio.json"
	fios+=("$(jq '.jobs[0].read.runtime / 1000' "$bench_tmp/fio.json")")
done
us=$(median "${ours[@]}") them=$(median "${fios[@]}")
emit read_vs_fio "$(calc "$us / $them")" 1.05 "time / time" \
	"{\"name\":\"fio io_uring 1M depth 16\",\"seconds\":$them,\"ours_seconds\":$us,\"ours_includes\":\"start, search for zeroes, durable target\"}"
