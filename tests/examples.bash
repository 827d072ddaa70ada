# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash source=tests/lib.sh disable=SC2154  # test_tmp
# What the dashboard and the alert rules ask for, against a scrape. Sourced by
# tests that have one, after lib.sh.

# expressions FOLDER: each query of both files, a tab, and the words that are to
# be filled in from the labels of what it finds, as {{LABEL}}.
expressions() {
	jq -r '.. | objects | select(.expr) | .expr + "\t" + (.legendFormat // "")' \
		"$1/grafana-dashboard.json"
	jq -r '.templating.list[] | select(.type == "query").query |
		capture("^label_values\\((?<metric>[^,]+), *(?<label>[^)]+)\\)$") |
		.metric + "\t{{" + .label + "}}"' "$1/grafana-dashboard.json"
	awk '$1 == "expr:" { sub(/^ *expr: */, ""); expr = $0; print expr "\t" }
		expr && match($0, /\$labels\.[a-z_]+/) {
			while (match($0, /\$labels\.[a-z_]+/)) {
				print expr "\t{{" substr($0, RSTART + 8, RLENGTH - 8) "}}"
				$0 = substr($0, RSTART + RLENGTH)
			}
		}' "$1/prometheus-alerts.yml"
}

# asked_for FOLDER: lines of METRIC, or METRIC and LABEL, of ours.
asked_for() {
	local expr words series metric
	while IFS=$'\t' read -r expr words; do
		grep -oE 'blkferry_[a-z_]+(\{[^}]*\})?' <<<"$expr" | while read -r series; do
			metric=${series%%\{*}
			echo "$metric"
			grep -oE '[{,] *[a-z_]+ *[=!]' <<<"$series" |
				sed -E "s/^[{,] *([a-z_]+).*/$metric \\1/"
			grep -oE '\{\{[a-z_]+\}\}' <<<"$words" |
				sed -E "s/^\{\{([a-z_]+)\}\}\$/$metric \\1/"
		done
	done < <(expressions "$1") | sort -u
}

# asked_for_is_there FOLDER SCRAPE SERIES: every metric is served, of at least
# SERIES of them there are figures, and these have the labels.
asked_for_is_there() {
	local metric label
	asked_for "$1" >"$test_tmp/asked"
	[ "$(grep -c . "$test_tmp/asked")" -ge 20 ]
	: >"$test_tmp/served"
	while read -r metric label; do
		grep -q "^# TYPE $metric " "$2" || fail "there is no $metric"
		grep "^$metric{" "$2" >"$test_tmp/series" || continue
		echo "$metric" >>"$test_tmp/served"
		[ -z "$label" ] || grep -qE "[{,]$label=\"" "$test_tmp/series" ||
			fail "$metric has no label $label: $(head -n 1 "$test_tmp/series")"
	done <"$test_tmp/asked"
	[ "$(sort -u "$test_tmp/served" | wc -l)" -ge "$3" ] ||
		fail "figures of these alone: $(sort -u "$test_tmp/served" | xargs)"
}
