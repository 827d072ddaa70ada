# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash source=tests/lib.sh
# What VM tests of the module share: the program "consumer" at work, one shot
# (`consumer STEP...`) or as a process that a case talks to (`ask STEP`).

# shellcheck disable=SC2034  # for the test files
d0=/dev/vm/d0 d1=/dev/vm/d1 d2=/dev/vm/d2

# track NAME DEVICE [GRANULARITY|0 [dirty]]: until the case ends.
track() {
	consumer "track $*"
	cleanup_fn consumer "untrack $1"
}

# value KEY LINE: of the word KEY=VALUE in a line of the consumer.
value() {
	local rest=" $2 "
	[ "${rest#* "$1"=}" != "$rest" ] || fail "no $1 in '$2'" || return 1
	rest=${rest#* "$1"=}
	echo "${rest%% *}"
}

# drained NAME DEVICE: what is dirty, which is then committed.
drained() {
	local lines
	lines=$(consumer "begin $1 $2" "walk $1" "finish $1") || fail "$lines" || return 1
	value extents "$(sed -n 2p <<<"$lines")"
}

# dirty_is NAME DEVICE EXTENTS: drains; exactly these are dirty.
dirty_is() {
	local got
	got=$(drained "$1" "$2")
	eq "$got" "$3" "dirty extents of $1"
}

# holds_all NAME DEVICE SECTORS: drains; the block at each is dirty, exactly or
# coarsely. Sectors ascend.
holds_all() {
	local got
	got=$(drained "$1" "$2")
	awk -v got="$got" -v wanted="$3" 'BEGIN {
		n = split(got, extents, ",")
		for (i = 1; i <= n; i++) {
			split(extents[i], e, "+")
			first[i] = e[1]; end[i] = e[1] + e[2]
		}
		nr = split(wanted, sectors, " ")
		at = 1
		for (i = 1; i <= nr; i++) {
			while (at <= n && end[at] <= sectors[i] + 7) at++
			if (at > n || first[at] > sectors[i]) { print "missed " sectors[i]; exit 1 }
		}
		print nr " marks in " n " extents"
	}'
}

# stat_of NAME STATISTIC
stat_of() {
	value "$2" "$(consumer "get $1")"
}

# reason_of NAME REASON: how often it was raised, then how often cleared.
reason_of() {
	local all rest
	all=,$(value reasons "$(consumer "get $1")")
	rest=${all#*,"$2":}
	if [ "$rest" = "$all" ]; then
		echo 0 0
	else
		rest=${rest%%,*}
		echo "${rest/:/ }"
	fi
}

# blocks SECTOR COUNT [GRANULARITY_SECTORS]: the extent that must be dirty.
blocks() {
	local unit=${3:-8}
	local start=$(($1 / unit * unit)) end=$((($1 + $2 + unit - 1) / unit * unit))
	echo "$start+$((end - start))"
}

# write_at DEVICE SECTOR COUNT [sync|buffered]: one write, direct unless told.
write_at() {
	put "$@"
}

# remember DISK: its content, for covers_all_changes.
remember() {
	dd if="$1" of=/tmp/before bs=1M iflag=direct conv=sparse status=none
	truncate -s "$(blockdev --getsize64 "$1")" /tmp/before
	cleanup_fn rm -f /tmp/before
}

# covers_all_changes NAME DISK: drains; no block that changed is left unmarked,
# and at least one changed.
covers_all_changes() {
	local extents said
	extents=$(drained "$1" "$2")
	said=$(block_diff "$2" /tmp/before "$extents") || fail "$said" || return 1
	echo "$said"
	[[ $said != "changed 0 "* ]]
}

# Sets $disk to a null_blk disk with ATTRIBUTE=VALUE...
null_disk() {
	local at=/sys/kernel/config/nullb/test word
	modprobe configfs
	modprobe null_blk nr_devices=0
	cleanup_fn rmmod null_blk
	grep -q ' /sys/kernel/config ' /proc/mounts ||
		mount -t configfs none /sys/kernel/config
	mkdir $at
	cleanup_fn rmdir $at
	for word in size=128 memory_backed=1 "$@" power=1; do
		echo "${word#*=}" >"$at/${word%%=*}"
	done
	# Older kernels name it by its number, newer ones by its directory.
	disk=/dev/nullb$(cat $at/index)
	[ ! -d /sys/block/test ] || disk=/dev/test
	wait_until 10 test -b "$disk"
}

# --- a consumer that lives -----------------------------------------------------

# Sets $consumer_pid and $reply (by ask).
start_consumer() {
	reply=""
	coproc CONSUMER { exec consumer 2>&1; }
	# shellcheck disable=SC2153  # set by coproc
	consumer_pid=$CONSUMER_PID
	cleanup_fn end_consumer "$consumer_pid"
}

end_consumer() {
	whatever kill -KILL "$1"
	whatever wait "$1"
}

# ask STEP...: the answer is in $reply and on the case's log.
ask() {
	echo "$*" >&"${CONSUMER[1]}"
	IFS= read -r -t 30 reply <&"${CONSUMER[0]}" || fail "no answer to: $*" || return 1
	echo "$* -> $reply"
}

ask_ok() {
	ask "$@"
	[ "${reply%% *}" = ok ]
}

# ask_error ERRNO STEP...: refused with that errno, in words.
ask_error() {
	local wanted=$1
	shift
	ask "$@"
	[[ $reply = "error $wanted "?* ]] || fail "wanted $wanted: $reply"
}

# The kernel closes its drains before the process can be waited for.
kill_consumer() {
	end_consumer "$consumer_pid"
}

not_owned() {
	eq "$(stat_of "$1" owned)" 0 owned
}
