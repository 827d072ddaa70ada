#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a receiver spends on many sources beside one: its processor time for the
# same blocks, sent by one generator, over 256 sessions in turn and over one, from
# the moment when all are open until the last block is durable; and by how much
# its own memory (the peak; pages of the targets' files are not its) is larger for
# each job more.
# METRICS: fan_in_cpu_ratio rss_mib_per_job
# shellcheck source=tests/bench/bench.bash
. "$(dirname "$0")/bench.bash"

mib=${BENCH_MIB:-6144}		# 24 MiB a source: what follows the opening counts
rounds=${BENCH_ROUNDS:-3}

# peak_mib PID: of the memory that the process itself has.
peak_mib() { awk '$1 == "VmHWM:" { print $2 / 1024 }' "/proc/$1/status"; }

# receive_from NR: sets spent, the receiver's processor seconds, and held, MiB.
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
	held=$(peak_mib "$receiver_pid")
	stop_receiver
	rm -f "$bench_tmp"/t*.img
}

make -s bench-programs
for ((round = 0; round < rounds; round++)); do
	receive_from 1
	one+=("$spent") held_one+=("$held")
	receive_from 256
	many+=("$spent") held_many+=("$held")
done
few=$(median "${one[@]}") lots=$(median "${many[@]}")
emit fan_in_cpu_ratio "$(calc "$lots / $few")" 1.1 "CPU s / CPU s" \
	"{\"sources\":256,\"cpu_seconds\":$lots,\"cpu_seconds_of_one\":$few,\"bytes\":$((mib << 20))}"
lone=$(median "${held_one[@]}") crowd=$(median "${held_many[@]}")
emit rss_mib_per_job "$(calc "($crowd - $lone) / 255")" 4 "MiB" \
	"{\"mib_with_256_jobs\":$crowd,\"mib_with_one\":$lone}"
