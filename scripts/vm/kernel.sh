#!/usr/bin/env bash
# kernel.sh [DIR]: a stock kernel of this distribution, to be booted in qemu.
#
# Prints DIR, which holds vmlinuz, nbd.ko (uncompressed) and release, and does
# nothing else when they are there. Nothing is installed, root is not needed: the
# packages are downloaded and unpacked.
#
# Debian's cloud kernel is the first choice: 27 MB, ext4 built in, nbd a module
# without dependencies. Ubuntu's counterpart has its modules in a second package.
set -euo pipefail
[ $# -le 1 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }
dir=${1:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/snapview/vm-kernel}
if [ -s "$dir/vmlinuz" ] && [ -s "$dir/nbd.ko" ] && [ -s "$dir/release" ]; then
	echo "$dir"
	exit 0
fi
mkdir -p "$dir"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work" # apt's unprivileged downloader looks in

# image: the package with the kernel that a meta package stands for.
image() {
	apt-cache depends "$1" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1
}

# choose: prints the smallest kernel there is.
choose() {
	local meta package
	for meta in "linux-image-cloud-$(dpkg --print-architecture)" linux-image-virtual linux-image-generic; do
		package=$(image "$meta")
		if [ -n "$package" ]; then
			echo "$package"
			return 0
		fi
	done
	echo "kernel.sh: apt knows no kernel image (apt-get update?)" >&2
	return 1
}

# fetch PACKAGE: download and unpack.
fetch() {
	(cd "$work" && apt-get download "$1") && dpkg-deb -x "$work/$1"_*.deb "$work/root"
}

# kernel: unpack a kernel with nbd.
kernel() {
	local package
	package=$(choose) && fetch "$package" || return 1
	if ! find "$work/root" -name 'nbd.ko*' | grep -q .; then
		fetch "linux-modules-${package#linux-image-}"
	fi
}

# Mirrors need patience; and lists of packages may be missing, as in images, or
# too old to find what they name.
for try in 1 2 3; do
	if kernel >"$work/log" 2>&1; then
		break
	fi
	if [ "$try" = 3 ]; then
		cat "$work/log" >&2
		exit 1
	fi
	rm -rf "$work/root" "$work"/*.deb
	sleep $((try * try * 3 - 3))
	[ "$(id -u)" != 0 ] || apt-get update >/dev/null 2>&1 || true
done
module=$(find "$work/root" -name 'nbd.ko*' | head -n 1)
vmlinuz=$(find "$work/root/boot" -name 'vmlinuz-*' | head -n 1)
if [ -z "$module" ] || [ -z "$vmlinuz" ]; then
	echo "kernel.sh: the package has no kernel with nbd" >&2
	exit 1
fi
case $module in
*.ko) cat "$module" ;;
*.ko.xz) xz -dc "$module" ;;
*.ko.zst) zstd -dcq "$module" ;;
*.ko.gz) gzip -dc "$module" ;;
esac >"$work/nbd.ko"
cp "$work/nbd.ko" "$dir/nbd.ko"
cp "$vmlinuz" "$dir/vmlinuz"
basename "$vmlinuz" | sed 's/^vmlinuz-//' >"$work/release"
mv "$work/release" "$dir/release" # last: it says that the rest is complete
echo "$dir"
