#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a receiver spends on many sources beside one: its processor time for the
# same blocks, sent by one generator, over 256 sessions in turn and over one, from
# the moment when all are open until the last block is durable.
# METRICS: fan_in_cpu_ratio
# shellcheck source=tests/bench/bench.bash
. "$(dirname "$0")/bench.bash"

mib=${BENCH_MIB:-6144}		# 24 MiB a source: what follows the opening counts
rounds=${BENCH_ROUNDS:-3}

# receive_from NR: sets spent, the receiver's processor seconds.
receive_from() {
	local i before targets=()
	for ((i = 0; i < $1; i++)); do
		new_target "$bench_tmp/t$i.img" $((mib / $1))
		targets+=("t$i=$bench_tmp/t$i.img")
	done
	start_receiver "${targets[@]}"
	coproc build/bench/fan_in "$address" "$bench_tmp/near.key" "$1" $(((mib << 20) / $1))
	generator=$COPROC_PID
	read -r _ <&"${COPROC[0]}"
	before=$(cpu_ticks "$receiver_pid")
	echo go >&"${COPROC[1]}"
	wait "$generator"
	spent=$(calc "($(cpu_ticks "$receiver_pid") - $before) / 100")
	stop_receiver
	rm -f "$bench_tmp"/t*.img
}

make -s bench-programs
for ((round = 0; round < rounds; round++)); do
	receive_from 1
	one+=("$spent")
	receive_from 256
	many+=("$spent")
done
few=$(median "${one[@]}") lots=$(median "${many[@]}")
emit fan_in_cpu_ratio "$(calc "$lots / $few")" 1.1 "CPU s / CPU s" \
	"{\"sources\":256,\"cpu_seconds\":$lots,\"cpu_seconds_of_one\":$few,\"bytes\":$((mib << 20))}"
