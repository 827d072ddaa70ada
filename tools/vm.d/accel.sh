# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Which accelerator QEMU can use. /dev/kvm may open and still hang a guest, so
# only a real boot that ends by itself counts; the answer holds until reboot.

# shellcheck source=tools/vm.d/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

probe_kvm() {
	local dir=$1 out=$2 tmp
	tmp=$(dirname "$out")
	mkdir -p "$tmp/r"
	cp "$(command -v busybox)" "$tmp/r/busybox"
	printf '#!/busybox sh\n/busybox poweroff -f\n' >"$tmp/r/init"
	chmod +x "$tmp/r/init"
	(cd "$tmp/r" && find . | cpio --quiet -o -H newc) >"$tmp/initrd"
	if [ -w /dev/kvm ] && timeout 10 qemu-system-x86_64 -accel kvm \
		-cpu host -m 256 -nodefaults -display none -no-reboot \
		-kernel "$dir/vmlinuz" -initrd "$tmp/initrd" \
		-append "panic=-1 quiet" </dev/null >/dev/null 2>&1; then
		echo kvm >"$out"
	else
		echo tcg >"$out"
	fi
}

# accel_of KERNEL_DIR: prints kvm or tcg.
accel_of() {
	local key
	key=accel/$({ cat /proc/sys/kernel/random/boot_id
		qemu-system-x86_64 --version; } | key_of)
	cached "$key" probe_kvm "$1" || return 1
	cat "$cache/$key"
}
