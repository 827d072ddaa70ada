# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What a measure is written with: content that is the same each time, a receiver
# on loopback, times of what runs. Sourced by the files of this folder, whose
# line "METRICS:" says what each can print; $wanted is the one asked for, or
# empty. Out: one JSON object a line.

set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
bf=${BLKFERRY:-build/blkferry}
wanted=${1:-}
bench_pids=()
bench_tmp=$(mktemp -d "${BENCH_TMP:-/dev/shm}/blkferry-bench.XXXXXX")

bench_end() {
	local pid
	set +e
	for pid in "${bench_pids[@]}"; do
		kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
	done
	rm -rf "$bench_tmp"
}
trap bench_end EXIT

# emit METRIC VALUE GOAL UNIT [PEER]
emit() {
	[ -z "$wanted" ] || [ "$wanted" = "$1" ] || return 0
	printf '{"metric":"%s","value":%s,"goal":%s,"unit":"%s","peer":%s}\n' \
		"$1" "$2" "$3" "$4" "${5:-null}"
}

# want METRIC...: is one of them asked for?
want() {
	local metric
	[ -n "$wanted" ] || return 0
	for metric in "$@"; do
		[ "$wanted" != "$metric" ] || return 0
	done
	return 1
}

# calc EXPRESSION [DIGITS]
calc() {
	awk "BEGIN { printf \"%.${2:-3}f\", $1 }"
}

# random_bytes SEED: endless, the same for the same seed, not compressible.
random_bytes() {
	openssl enc -aes-128-ctr -K "$(printf '%032x' "$1")" -iv 0 -nosalt \
		</dev/zero 2>/dev/null
}

# program_bytes: this machine's programs and libraries, by name, over and over.
program_bytes() {
	while find /usr/bin /usr/lib -xdev -type f -size +64k -print0 |
		sort -z | xargs -0 cat 2>/dev/null; do :; done
}

# make_content FILE MIB: half program files, a quarter random, a quarter zero, in
# stripes of 4 MiB; zeroes are written, so the file has no holes.
make_content() {
	local stripe programs random
	exec {programs}< <(program_bytes) {random}< <(random_bytes 1)
	for ((stripe = 0; stripe < $2 / 4; stripe++)); do
		case $((stripe % 4)) in
		0 | 2) head -c 4M <&"$programs" ;;
		1) head -c 4M <&"$random" ;;
		3) head -c 4M /dev/zero ;;
		esac
	done >"$1"
	exec {programs}<&- {random}<&-
}

# new_target FILE MIB
new_target() {
	rm -f "$1"
	truncate -s "$2M" "$1"
}

# cpu_ticks PID: of all its threads, user and system, hundredths of a second.
cpu_ticks() {
	awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"
}

# wait_line FILE PATTERN: until a line of it matches.
wait_line() {
	local end=$((SECONDS + 20)) idle
	exec {idle}<> <(:)
	until grep -q "$2" "$1"; do
		[ "$SECONDS" -le "$end" ] || { cat "$1" >&2 && return 1; }
		read -r -t 0.02 -u "$idle" _ || :
	done
	exec {idle}>&-
}

# start_receiver NAME=PATH...: a receiver of these targets, for one source whose
# key is $bench_tmp/near.key. Sets receiver_pid, address and peer.
start_receiver() {
	local near target
	near=$("$bf" key -g -k "$bench_tmp/near.key")
	peer=$("$bf" key -g -k "$bench_tmp/far.key")
	{
		printf '[receiver]\nlisten = %s:0\nkey = %s\nrecords = %s\n' \
			"${listen_on:-127.0.0.1}" "$bench_tmp/far.key" "$bench_tmp/far.records"
		printf '[peer near]\nkey = %s\ntargets =' "$near"
		printf ' %s' "${@%%=*}"
		printf '\n'
		for target; do
			printf '[target %s]\npath = %s\noverwrite = yes\n' \
				"${target%%=*}" "${target#*=}"
		done
	} >"$bench_tmp/receiver.conf"
	: >"$bench_tmp/receiver.log"
	${receiver_prefix:-} "$bf" receive --config "$bench_tmp/receiver.conf" \
		2>"$bench_tmp/receiver.log" &
	receiver_pid=$!
	bench_pids+=("$receiver_pid")
	wait_line "$bench_tmp/receiver.log" 'listening on '
	address=$(sed -n 's/^listening on //p' "$bench_tmp/receiver.log")
}

stop_receiver() {
	kill "$receiver_pid"
	wait "$receiver_pid"
	rm -rf "$bench_tmp/far.records" "$bench_tmp"/{near,far}.key
}

# copy_to NAME SOURCE [OPTION...]: over TLS to the receiver.
copy_to() {
	local name=$1
	shift
	"$bf" copy "$1" "$address/$name" --peer "$peer" --key "$bench_tmp/near.key" \
		--run-dir "$bench_tmp/run" --records-dir "$bench_tmp/near.records" \
		"${@:2}"
}

# timed COMMAND...: sets seconds, and cpu of the command and its children.
# shellcheck disable=SC2034  # for the file that sources this
timed() {
	local TIMEFORMAT='%R %U %S' user system
	{ time "$@" >"$bench_tmp/timed.out" 2>&1; } 2>"$bench_tmp/timed" || {
		cat "$bench_tmp/timed.out" >&2
		return 1
	}
	read -r seconds user system <"$bench_tmp/timed"
	cpu=$(calc "$user + $system")
}

# group_of NAME: a control group of its own, empty; prints its folder.
group_of() {
	local root=/sys/fs/cgroup group
	[ ! -d "$root/memory" ] || root=$root/memory
	[ ! -e "$root/cgroup.subtree_control" ] || echo +memory >"$root/cgroup.subtree_control"
	group=$root/blkferry-bench-$1
	[ ! -d "$group" ] || rmdir "$group"
	mkdir "$group"
	echo "$group"
}

# make_in_group: a program that puts itself into the group of its first argument
# and becomes the rest, for "bash $bench_tmp/in_group FOLDER COMMAND...".
make_in_group() {
	cat >"$bench_tmp/in_group" <<-'END'
		echo $$ >"$1/cgroup.procs"
		shift
		exec "$@"
	END
}

# group_peak_mib FOLDER: and removes it, its processes having ended.
group_peak_mib() {
	local peak=$1/memory.peak
	[ -e "$peak" ] || peak=$1/memory.max_usage_in_bytes
	calc "$(cat "$peak") / 1048576" 1
	rmdir "$1"
}

# median NUMBER...
median() {
	printf '%s\n' "$@" | sort -g | awk '{ v[NR] = $1 }
		END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}
