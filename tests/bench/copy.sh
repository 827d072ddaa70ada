#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A full copy of 2 GiB in memory over loopback, ours with TLS and checksums,
# beside what people use today. All read the same file without holes, look for
# zeroes themselves and write into a new sparse file. Turns are taken, medians
# told. CPU is that of both ends; its goal is nbdcopy's and what AES and checksums
# must cost here (costs.c), for the three quarters that are not zero. Beside both
# stands the barest pipeline that does what TLS asks for (bare.c): what this
# machine allows.
# METRICS: copy_vs_nbdcopy copy_vs_qemu_img copy_vs_dd_zstd_socat copy_cpu_s_per_gib
# shellcheck source=tests/bench/bench.bash
. "$(dirname "$0")/bench.bash"

mib=${BENCH_MIB:-2048}
rounds=${BENCH_ROUNDS:-5}
source=$bench_tmp/source.img
target=$bench_tmp/target.img
declare -A times=() cpus=()

# note NAME CPU: what timed has just measured.
note() {
	times[$1]+="$seconds "
	cpus[$1]+="$2 "
}

ours() {
	local before
	new_target "$target" "$mib"
	start_receiver "far=$target"
	before=$(cpu_ticks "$receiver_pid")
	timed copy_to far "$source"
	note ours "$(calc "$cpu + ($(cpu_ticks "$receiver_pid") - $before) / 100")"
	stop_receiver
	cmp "$source" "$target"
}

# nbd NAME COMMAND...: COMMAND copies to nbd://127.0.0.1:$port.
nbd() {
	local name=$1 server before
	shift
	new_target "$target" "$mib"
	port=$((20000 + RANDOM % 10000))
	nbdkit --foreground --ipaddr 127.0.0.1 --port "$port" \
		--pidfile "$bench_tmp/nbdkit.pid" file "$target" &
	server=$!
	bench_pids+=("$server")
	wait_pid_file
	before=$(cpu_ticks "$server")
	timed "$@" "nbd://127.0.0.1:$port"
	note "$name" "$(calc "$cpu + ($(cpu_ticks "$server") - $before) / 100")"
	kill "$server"
	wait "$server"
	rm -f "$bench_tmp/nbdkit.pid"
	cmp "$source" "$target"
}

wait_pid_file() {
	: >>"$bench_tmp/nbdkit.pid"
	wait_line "$bench_tmp/nbdkit.pid" .
}

pipe() {
	socat -u "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr" - |
		zstd -d -c | dd of="$target" bs=1M iflag=fullblock conv=sparse,notrunc status=none &
	wait_listening
	dd if="$source" bs=1M status=none | zstd -c |
		socat -u - "TCP:127.0.0.1:$port"
	wait $!
}

wait_listening() {
	until ss -Hltn "sport = :$port" | grep -q .; do :; done
}

dd_zstd_socat() {
	new_target "$target" "$mib"
	port=$((20000 + RANDOM % 10000))
	timed pipe
	note dd "$cpu"
	cmp "$source" "$target"
}

bare() {
	new_target "$target" "$mib"
	timed build/bench/bare "$source" "$target"
	note bare "$cpu"
	cmp "$source" "$target"
}

make -s bench-programs
make_content "$source" "$mib"
for ((i = 0; i < rounds; i++)); do
	ours
	nbd nbdcopy nbdcopy --connections=4 --flush "$source"
	want copy_vs_nbdcopy copy_cpu_s_per_gib && bare
	want copy_vs_qemu_img copy_cpu_s_per_gib &&
		nbd qemu qemu-img convert -n -f raw -O raw "$source"
	want copy_vs_dd_zstd_socat copy_cpu_s_per_gib && dd_zstd_socat
done

# shellcheck disable=SC2086  # lists of numbers
versus() {
	local us them bare
	us=$(median ${times[ours]}) them=$(median ${times[$2]})
	bare=$([ -z "${times[bare]:-}" ] || median ${times[bare]})
	emit "$1" "$(calc "$us / $them")" "$3" "time / time" \
		"{\"name\":\"$4\",\"seconds\":$them,\"ours_seconds\":$us,\"bare_tls_pipeline_seconds\":${bare:-null},\"bytes\":$((mib << 20)),\"source\":\"no holes, both detect zeroes\",\"target\":\"sparse\"}"
}

# shellcheck disable=SC2086
cpu_of() {
	calc "$(median ${cpus[$1]}) / $mib * 1024"
}

versus copy_vs_nbdcopy nbdcopy 1.0 "nbdcopy --connections=4, plain, nbdkit file"
[ -z "${times[qemu]:-}" ] ||
	versus copy_vs_qemu_img qemu 0.5 "qemu-img convert, plain, nbdkit file"
[ -z "${times[dd]:-}" ] ||
	versus copy_vs_dd_zstd_socat dd 0.3 "dd | zstd | socat | zstd -d | dd"
if want copy_cpu_s_per_gib && [ -n "${times[dd]:-}" ]; then
	read -r tls checksum < <(build/bench/costs)
	must=$(calc "($tls + 2 * $checksum) * 3 / 4")
	emit copy_cpu_s_per_gib "$(cpu_of ours)" "$(calc "$(cpu_of nbdcopy) + $must")" \
		"CPU s / GiB, both ends" \
		"{\"nbdcopy\":$(cpu_of nbdcopy),\"aes_and_checksums\":$must,\"bare_tls_pipeline\":$(cpu_of bare),\"qemu_img\":$(cpu_of qemu),\"dd_zstd_socat\":$(cpu_of dd)}"
fi
