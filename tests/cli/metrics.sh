#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: the metrics are what a scraper reads, on the loopback address alone,
# with every name that the dashboard and the alert rules ask for; diag makes one
# archive, private, without keys and without what hooks run.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

# shellcheck source=tests/examples.bash
. "$(dirname "$0")/../examples.bash"

bf=${BLKFERRY:-build/blkferry}
run=$test_tmp/run
url=

start_metrics() {
	local port
	for port in 29712 29713 29714 29715; do
		"$bf" metrics --port "$port" --run-dir "$run" 2>"$test_tmp/log" &
		server=$!
		cleanup_fn whatever kill "$server"
		url=http://127.0.0.1:$port
		wait_until 10 grep -q . "$test_tmp/log"
		! grep -q 'metrics on' "$test_tmp/log" || return 0
	done
	return 1
}

# get PATH: status line and body.
get() {
	local host=${url#http://}
	exec {http}<>"/dev/tcp/${host%:*}/${host#*:}"
	printf '%s %s HTTP/1.0\r\n\r\n' "${2:-GET}" "$1" >&"$http"
	cat <&"$http"
	exec {http}>&-
}

serves() {
	start_metrics
	get /metrics >"$test_tmp/answer"
	head -n 1 "$test_tmp/answer" | grep -q ' 200 '
	grep -qi '^content-type: text/plain; version=0.0.4' "$test_tmp/answer"
	grep -q '^# TYPE blkferry_dirty_bytes gauge' "$test_tmp/answer"
	get /other | head -n 1 | grep -q ' 404 '
	get /metrics POST | head -n 1 | grep -q ' 405 '
}

on_loopback_alone() {
	local port
	start_metrics
	port=${url##*:}
	eq "$(ss -Htln "sport = :$port" | awk '{ print $4 }')" "127.0.0.1:$port"
}

job_is_there() {
	get /metrics >"$test_tmp/answer"
	grep -q '^blkferry_pass_remaining_seconds{' "$test_tmp/answer"
}

# A scrape while a job runs that takes minutes if it is left alone. It has no
# tracker: what the examples ask of these has no figures here.
examples_ask_for_what_is() {
	local job
	truncate -s 1G "$test_tmp/source.img"
	"$bf" copy "$test_tmp/source.img" "$test_tmp/target.img" --whole-disk \
		--read-rate 4M --run-dir "$run" --records-dir "$test_tmp/records" \
		>"$test_tmp/copy" 2>&1 &
	job=$!
	cleanup_fn whatever kill "$job"
	start_metrics
	wait_until 30 job_is_there
	asked_for_is_there user/examples "$test_tmp/answer" 6
	jq -e '.panels | length >= 10' user/examples/grafana-dashboard.json
	grep -qE '^blkferry_disk_pass_planned_bytes\{job_name="[^"]+",disk="[^"]+"\} 1073741824$' \
		"$test_tmp/answer"
	kill "$job"
	expect_status 4 wait "$job"
}

bad_port() {
	expect_status 3 "$bf" metrics --port 70000
	grep -q '1 to 65535' "$test_tmp/out"
}

archive_is_whole() {
	"$bf" diag --output "$test_tmp/diag.tar.gz" --run-dir "$run"
	eq "$(stat -c %a "$test_tmp/diag.tar.gz")" 600
	tar -tzf "$test_tmp/diag.tar.gz" >"$test_tmp/list"
	for name in version.txt status.json stats.json kernel.txt dmesg.txt \
		journal.txt disks.txt mounts.txt; do
		grep -qx "blkferry-diag/$name" "$test_tmp/list" || fail "no $name"
	done
	tar -xzOf "$test_tmp/diag.tar.gz" blkferry-diag/kernel.txt | grep -qF "$(uname -r)"
	tar -xzOf "$test_tmp/diag.tar.gz" blkferry-diag/status.json | jq -e 'type == "array"'
}

# Wherever keys lie; and of hooks no more than that there are some.
archive_has_no_secrets() {
	mkdir -p "$test_tmp/records/deep" "$test_tmp/jobs"
	"$bf" key --generate --key "$test_tmp/records/deep/key" >/dev/null
	cp "$test_tmp/records/deep/key" "$test_tmp/jobs/web.key"
	printf '[job]\npre-freeze = mysql -pHUSH\n#post-thaw = mysql -pHUSH\n ; on-failure=HUSH\n' \
		>"$test_tmp/jobs/web.conf"
	unshare -m sh -ec "mount -t tmpfs none /etc; mkdir -p /etc/blkferry
		cp -r $test_tmp/jobs /etc/blkferry/
		$(realpath "$bf") diag --output $test_tmp/secrets.tar.gz --run-dir $run --records-dir $test_tmp/records"
	mkdir "$test_tmp/unpacked"
	tar -xzf "$test_tmp/secrets.tar.gz" -C "$test_tmp/unpacked"
	[ "$(find "$test_tmp/unpacked" -name '*key' | wc -l)" -eq 2 ]
	grep -q 'pre-freeze = (left out)' -r "$test_tmp/unpacked"
	! grep -rE 'BEGIN.*PRIVATE|HUSH' "$test_tmp/unpacked" || fail "secrets in the archive"
}

archive_replaces_nothing() {
	echo mine >"$test_tmp/mine"
	fails_saying 'File exists' "$bf" diag --output "$test_tmp/mine"
	eq "$(cat "$test_tmp/mine")" mine
}

run_case "metrics are served as the scraper reads them" serves
run_case "on the loopback address alone" on_loopback_alone
run_case "dashboard and alert rules ask for what there is" examples_ask_for_what_is
run_case "a port that is none" bad_port
run_case "diag makes one private archive" archive_is_whole
run_case "diag has no keys and no hooks in it" archive_has_no_secrets
run_case "diag replaces no file" archive_replaces_nothing
