# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: `systemctl enable --now blkferry@JOB` is all that a migration takes;
# the service loads the module, says when it is ready, is restarted when it dies
# or hangs, and goes on from where it was; the guardian outlives a kill of the
# service; an upgrade of the package disturbs nothing; the journal has the job
# and the error's code as fields, and an id of what somebody waits for; receiver
# and metrics work in their sandboxes.
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/examples.bash
. /t/tests/examples.bash

source_disk=/dev/vdb target_disk=/dev/vdc
unit=blkferry@web1.service

figure() { blkferry status web1 --json 2>/dev/null | jq -r "$1"; }
state_is() { [ "$(figure .state)" = "$1" ]; }
property() { systemctl show -P "$1" "$unit"; }
is_new_pid() { [ "$(property MainPID)" != "$1" ] && [ "$(property MainPID)" != 0 ]; }

# A port of the machine is not a journal: what goes there is for people.
write_configuration() {
	local key
	key=$(blkferry key --generate)
	cat >/etc/blkferry/receiver.conf <<-END
		[receiver]
		listen = 127.0.0.1:4712
		[peer self]
		key = $key
		targets = data
		[target data]
		path = $target_disk
	END
	cat >/etc/blkferry/jobs/web1.conf <<-END
		[job]
		receiver = 127.0.0.1:4712
		peer = $key
		interval = 500ms
		then = thaw
		labels = site=here
		whole-disk = yes
		[disk data]
		device = $source_disk
		target = data
	END
	mkfs.ext4 -q "$source_disk" 200M
	mkdir -p /data
	mount "$source_disk" /data
	cp /usr/sbin/blkferry /data
}

receiver_is_confined() {
	write_configuration
	systemctl start blkferry-receiver
	systemctl is-active blkferry-receiver
	eq "$(systemctl show -P WatchdogUSec blkferry-receiver)" 1min
	# 0 is confined as can be, 100 not at all.
	systemd-analyze security --no-pager --threshold=45 blkferry-receiver.service
}

one_command_is_all() {
	[ ! -d /sys/module/blkferry ]
	systemctl enable --now blkferry@web1
	[ -d /sys/module/blkferry ]
	systemctl is-enabled "$unit"
	wait_until 60 state_is ready
	wait_until 5 status_says_ready
}

# All that the dashboard and the alert rules ask for, of a job and its tracker.
metrics_serve_confined() {
	systemctl start blkferry-metrics
	systemctl is-active blkferry-metrics
	eq "$(systemctl show -P NRestarts blkferry-metrics)" 0
	systemd-analyze security --no-pager --threshold=30 blkferry-metrics.service
	wait_until 20 scraped 'blkferry_job_info{job_name="web1",state="ready",.*,label_site="here"} 1'
	scraped 'blkferry_disk_dirty_bytes{job_name="web1",disk="data"} [0-9]'
	scraped 'blkferry_tracker_writes{tracker="web1:data",device="/dev/vdb"} [1-9]'
	asked_for_is_there /usr/share/doc/blkferry/examples "$test_tmp/scrape" 9
	# It can neither write to this system nor speak to another one.
	eq "$(systemctl show -P ProtectSystem blkferry-metrics)" strict
	eq "$(systemctl show -P IPAddressDeny blkferry-metrics)" "::/0 0.0.0.0/0"
}

scraped() {
	exec {http}<>/dev/tcp/127.0.0.1/9712
	printf 'GET /metrics HTTP/1.0\r\n\r\n' >&"$http"
	cat <&"$http" >"$test_tmp/scrape"
	exec {http}>&-
	grep -q "^$1" "$test_tmp/scrape"
}

status_says_ready() { property StatusText | grep -q '^ready'; }

journal_has_fields() {
	local entries=$test_tmp/entries
	journalctl --sync
	journalctl -o json BLKFERRY_JOB=web1 >"$entries"
	[ -s "$entries" ]
	eq "$(jq -r ._SYSTEMD_UNIT "$entries" | sort -u)" "$unit"
	jq -e 'select(.PRIORITY == "6" and (.MESSAGE | contains("web1")))' "$entries"
}

dies_and_goes_on() {
	local pid restarts
	pid=$(property MainPID)
	restarts=$(property NRestarts)
	kill -KILL "$pid"
	wait_until 60 is_new_pid "$pid"
	wait_until 60 state_is ready
	eq "$(property NRestarts)" $((restarts + 1))
	eq "$(figure .mode)" delta
}

hangs_and_is_killed() {
	local pid
	mkdir -p "/run/systemd/system/$unit.d"
	printf '[Service]\nWatchdogSec=4s\nTimeoutAbortSec=1s\nRestartSec=1s\n' \
		>"/run/systemd/system/$unit.d/soon.conf"
	cleanup_fn systemctl daemon-reload
	cleanup_fn rm -r "/run/systemd/system/$unit.d"
	systemctl daemon-reload
	systemctl restart "$unit"
	wait_until 60 state_is ready
	pid=$(property MainPID)
	kill -STOP "$pid"
	wait_until 60 is_new_pid "$pid"
	wait_until 60 state_is ready
	journalctl --sync
	journalctl -u "$unit" | grep -q 'Watchdog timeout'
}

# Freezes for long: writers past the filesystem keep the proof from its end. Two
# of them, so that one writes while the other starts anew.
raw_writer() {
	while dd if=/dev/zero of="$source_disk" bs=4k count=12800 \
		seek=$((205 << 8)) oflag=direct conv=notrunc 2>/dev/null; do :; done
}

guardian_pid() { pgrep -x blkferry-guard; }
last_pass_runs() { figure '.pass.kind, .last_pass.kind' | grep -qx last; }
is_frozen() {
	! fsfreeze -f /data 2>/dev/null || { fsfreeze -u /data && return 1; }
}
is_thawed() { ! is_frozen; }
no_guardian() { ! guardian_pid; }

guardian_outlives_the_service() {
	local group pid
	raw_writer &
	cleanup_fn kill $!
	raw_writer &
	cleanup_fn kill $!
	blkferry cutover web1 --max-downtime 10m &
	wait_until 60 last_pass_runs
	is_frozen
	pid=$(guardian_pid)
	group=$(cat "/proc/$pid/cgroup")
	[[ $group = *blkferry-guardian-web1-*.scope ]]
	systemctl kill -s KILL "$unit"
	wait_until 10 is_thawed
	wait_until 20 no_guardian
	journalctl --sync
	wait_until 60 state_is ready
}

upgrade_disturbs_nothing() {
	local pid passes receiver
	wait_until 60 state_is ready
	pid=$(property MainPID)
	passes=$(figure .passes)
	receiver=$(systemctl show -P MainPID blkferry-receiver)
	dpkg -i /t/blkferry.deb
	# The old module leaves DKMS; to build the new one takes long here.
	dpkg --unpack /t/blkferry-dkms.deb
	[ -d /sys/module/blkferry ]
	eq "$(property MainPID)" "$pid"
	eq "$(systemctl show -P MainPID blkferry-receiver)" "$receiver"
	wait_until 60 more_passes "$passes"
}

more_passes() { [ "$(figure .passes)" -gt "$1" ]; }

receiver_comes_back() {
	systemctl restart blkferry-receiver
	wait_until 60 state_is ready
	more_passes 0
}

error_has_its_code() {
	systemctl stop "$unit"
	echo 'unknown = 1' >>/etc/blkferry/jobs/web1.conf
	cleanup_fn sed -i '/^unknown/d' /etc/blkferry/jobs/web1.conf
	fails_saying . systemctl start "$unit"
	# Usage and configuration: starting again changes nothing about it.
	wait_until 20 eq_property ActiveState failed
	eq "$(property ExecMainStatus)" 3
	eq "$(property NRestarts)" 0
	systemctl reset-failed "$unit"
	journal_says "$job_failed" BLKFERRY_ERROR=config
}

job_failed=48f095249f134492baaa8c3cb50942a1 cut_over=1128a0bb28314c26b74dcc8b184b92e8

# journal_says MESSAGE_ID FIELD=VALUE...: of the job.
journal_says() {
	journalctl --sync
	journalctl -o json BLKFERRY_JOB=web1 MESSAGE_ID="$1" "${@:2}" >"$test_tmp/said"
	[ -s "$test_tmp/said" ] || fail "nothing of the job with $*"
}

eq_property() { [ "$(property "$1")" = "$2" ]; }

cut_over_by_unit() {
	systemctl start "$unit"
	wait_until 60 state_is ready
	echo "the last word" >/data/word
	systemctl start blkferry-cutover@web1
	wait_until 20 eq_property ActiveState inactive
	eq "$(property Result)" success
	is_thawed
	mkdir -p "$test_tmp/target"
	mount -o ro,noload "$target_disk" "$test_tmp/target"
	cleanup_fn umount "$test_tmp/target"
	eq "$(cat "$test_tmp/target/word")" "the last word"
	no_guardian
	[ ! -d /sys/module/blkferry ]
	blkferry report web1 | grep -q 'ended as *done'
	journal_says "$cut_over"
}

removal_stops_it() {
	umount /data
	dpkg -r blkferry
	fails_saying 'not|inactive' systemctl is-active blkferry-receiver
	fails_saying 'not|inactive' systemctl is-active blkferry-metrics
	[ ! -e /lib/systemd/system/blkferry@.service ]
}

run_case "the receiver serves in its sandbox" receiver_is_confined
run_case "enable --now loads the module and copies" one_command_is_all
run_case "metrics serve in their sandbox what the examples ask for" metrics_serve_confined
run_case "entries of the journal name their job" journal_has_fields
run_case "killed: started again, goes on from where it was" dies_and_goes_on
run_case "hanging: the watchdog has it started again" hangs_and_is_killed
run_case "killed in the freeze: the guardian lives and thaws" guardian_outlives_the_service
run_case "an upgrade disturbs nothing" upgrade_disturbs_nothing
run_case "the receiver restarts, the job goes on" receiver_comes_back
run_case "a bad configuration ends the service for good" error_has_its_code
run_case "the cutover as a unit" cut_over_by_unit
run_case "removal stops what runs" removal_stops_it
