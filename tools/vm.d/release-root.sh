# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Runs in a new root of another Debian release. In: $1 the suite to prefer for
# the kernel, or nothing. Out: that kernel's headers, installed with the
# compiler they want, and its image's files unpacked, not installed, in /x. DKMS
# is there already: it came with the root.
set -eu
from=${1:+/$1}

apt-get -qq install -y --no-install-recommends \
	"linux-base$from" "linux-headers-cloud-amd64$from"
version=$(basename /lib/modules/*)

# From 7.x on the image is split in packages that bear its version.
parts=$(apt-cache depends "linux-image-$version" |
	sed -n "s/^ *Depends: \(linux-[a-z]*-$version\)\$/\1/p")
mkdir -p /x
cd /x
# shellcheck disable=SC2086  # a list
apt-get -qq -o APT::Sandbox::User=root download "linux-image-$version" $parts
for package in *.deb; do
	dpkg-deb -x "$package" /x
done
rm ./*.deb
apt-get clean
