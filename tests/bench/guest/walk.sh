# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Begin, walk and commit of 10,000 blocks over 500 leaves, on 64 GiB and on 64
# TiB; the memory of a map of 1 TiB that is fully dirty, or 1 % of it at random.
# Out on descriptor 9: nanoseconds, which are instructions, and bytes.
set -eu
export PATH=/t/bin:$PATH
# shellcheck source=tests/bench/guest/disks.bash
. /t/disks.bash

insmod /vm/blkferry.ko
echo "small $(walk time "$(null_disk small size=65536)")" >&9
echo "large $(walk time "$(null_disk large size=67108864)")" >&9
tib=$(null_disk tib size=1048576)
echo "full $(walk fill "$tib")" >&9
echo "scattered $(walk scatter "$tib")" >&9
rmmod blkferry
