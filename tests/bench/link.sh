#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A full copy with compression `auto` over a shaped link: two network namespaces,
# veth, tbf. The best that a fixed level of zstd could do is computed beforehand
# from the same file: link rate times ratio, for the levels that keep up on all
# cores while nothing else runs. What the first seconds cost is part of it.
# METRICS: link_efficiency_100m link_efficiency_1g
# shellcheck source=tests/bench/bench.bash
. "$(dirname "$0")/bench.bash"

source=$bench_tmp/source.img
target=$bench_tmp/target.img
near=blkferry-near-$$ far=blkferry-far-$$

end_link() {
	ip netns delete "$near" 2>/dev/null
	ip netns delete "$far" 2>/dev/null
	bench_end
}
trap end_link EXIT

# make_link RATE: from $near to $far.
make_link() {
	ip netns add "$near"
	ip netns add "$far"
	ip -n "$near" link add link0 type veth peer name link0 netns "$far"
	ip -n "$near" address add 198.18.0.1/30 dev link0
	ip -n "$far" address add 198.18.0.2/30 dev link0
	ip -n "$near" link set link0 up
	ip -n "$far" link set link0 up
	ip netns exec "$near" tc qdisc add dev link0 root tbf rate "$1" burst 256kb latency 20ms
}

# repeat_content MIB: of $bench_tmp/sample, so that its ratios are those of all.
repeat_content() {
	local i
	[ -e "$bench_tmp/sample" ] || make_content "$bench_tmp/sample" 16
	for ((i = 0; i < $1; i += 16)); do
		cat "$bench_tmp/sample"
	done >"$source"
}

# best_of BYTES_PER_SECOND: raw bytes a second of the best level that keeps up.
best_of() {
	local level ratio speed best=$1 cores
	cores=$(nproc)
	for level in {1..19}; do
		read -r ratio speed < <(zstd -b"$level" -i1 -B1MiB "$bench_tmp/sample" 2>&1 |
			tr '\r' '\n' | sed -nE 's/.*\(x?([0-9.]+)\), *([0-9.]+) MB\/s.*/\1 \2/p' | tail -n 1)
		best=$(awk -v link="$1" -v ratio="$ratio" -v speed="$speed" -v cores="$cores" \
			-v best="$best" 'BEGIN { rate = link * ratio
				keeps_up = speed * 1e6 * cores >= rate
				print (keeps_up && rate > best ? rate : best) }')
		# The higher levels are slower still.
		[ "$(calc "$speed * 1000000 * $cores < $1" 0)" -eq 0 ] || break
	done
	echo "$best"
}

# measure METRIC RATE BYTES_PER_SECOND MIB
measure() {
	local best raw
	repeat_content "$4"
	new_target "$target" "$4"
	best=$(best_of "$3")
	make_link "$2"
	listen_on=198.18.0.2 receiver_prefix="ip netns exec $far"
	start_receiver "far=$target"
	timed ip netns exec "$near" "$bf" copy "$source" "$address/far" \
		--peer "$peer" --key "$bench_tmp/near.key" --run-dir "$bench_tmp/run" \
		--records-dir "$bench_tmp/near.records"
	stop_receiver
	raw=$(calc "$4 * 1048576 / $seconds" 0)
	emit "$1" "$(calc "$raw / $best")" 0.9 "raw rate / best of zstd 1-19" \
		"{\"link_bytes_per_second\":$3,\"best_raw_bytes_per_second\":$best,\"raw_bytes_per_second\":$raw}"
	ip netns delete "$near"
	ip netns delete "$far"
}

if want link_efficiency_100m; then
	measure link_efficiency_100m 100mbit 12500000 "${BENCH_MIB:-512}"
fi
if want link_efficiency_1g; then
	measure link_efficiency_1g 1gbit 125000000 "${BENCH_MIB:-1024}"
fi
