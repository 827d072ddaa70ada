#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: release.bash beside this file says it, here for Debian 11.
# RUN: limit=900 in=full
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

run_program "$tests_dir/../tools/root" bullseye "$test_tmp/out" \
	bash /src/tests/package/release.bash
