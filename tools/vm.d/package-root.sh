# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Runs in a new root of a Debian release. In: /recipe/debian. Out: all that
# building and installing the packages wants, the headers of a first kernel,
# and those of a second one as packages in /second, for later.
set -eu

apt-get -qq build-dep -y --no-install-recommends /recipe
apt-get -qq install -y --no-install-recommends dkms lintian kmod openssl \
	linux-headers-cloud-amd64 </dev/null
mkdir -p /second/partial
apt-get -qq install -y --no-install-recommends --download-only \
	-o Dir::Cache::archives=/second linux-headers-amd64 </dev/null
rm -rf /recipe /second/partial /second/lock
apt-get clean
