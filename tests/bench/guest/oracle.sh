# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The oracle on three blk-mq disks, by several seeds. Out on descriptor 9, of each
# run: blocks marked, those that nothing touched, and coarse marks.
set -eu
export PATH=/t/bin:$PATH
# shellcheck disable=SC1091
. /t/settings

insmod /vm/blkferry.ko
# shellcheck disable=SC2154  # settings
for ((run = 0; run < 3 * seeds; run++)); do
	oracle "/dev/vm/d$((run % 3))" $((1 + run / 3)) "$operations" >/tmp/said || {
		cat /tmp/said >&2
		exit 1
	}
	sed -n 's/^differing 0 .* marked \([0-9]*\) unneeded \([0-9]*\) coarse \([0-9]*\)$/\1 \2 \3/p' \
		/tmp/said >&9
done
rmmod blkferry
