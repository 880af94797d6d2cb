#!/usr/bin/env bash
# kernel.sh DIR: a stock kernel of this distribution, to be booted in qemu.
#
# Leaves DIR/vmlinuz, DIR/nbd.ko (uncompressed) and DIR/release, and does
# nothing when they are there. Nothing is installed, root is not needed: the
# packages are downloaded and unpacked.
#
# Debian's cloud kernel is the first choice: 27 MB, ext4 built in, nbd a module
# without dependencies. Ubuntu's counterpart has its modules in a second package.
set -euo pipefail
[ $# = 1 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }
dir=$1
if [ -s "$dir/vmlinuz" ] && [ -s "$dir/nbd.ko" ] && [ -s "$dir/release" ]; then
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

# fetch PACKAGE...: download and unpack, with patience for mirrors.
fetch() {
	local try
	for try in 1 2 3; do
		if (cd "$work" && apt-get download "$@") >"$work/log" 2>&1; then
			for deb in "$work"/*.deb; do
				dpkg-deb -x "$deb" "$work/root"
				rm "$deb"
			done
			return 0
		fi
		rm -f "$work"/*.deb
		sleep $((try * 5))
	done
	cat "$work/log" >&2
	return 1
}

# choose: sets package to the smallest kernel there is, or to nothing.
choose() {
	local meta
	for meta in "linux-image-cloud-$(dpkg --print-architecture)" linux-image-virtual linux-image-generic; do
		package=$(image "$meta")
		[ -z "$package" ] || return 0
	done
}

choose
if [ -z "$package" ] && [ "$(id -u)" = 0 ]; then # images often come without lists
	apt-get update >/dev/null || true
	choose
fi
if [ -z "$package" ]; then
	echo "kernel.sh: apt knows no kernel image (apt-get update?)" >&2
	exit 1
fi
fetch "$package"
if ! find "$work/root" -name 'nbd.ko*' | grep -q .; then
	fetch "linux-modules-${package#linux-image-}"
fi
module=$(find "$work/root" -name 'nbd.ko*' | head -n 1)
vmlinuz=$(find "$work/root/boot" -name 'vmlinuz-*' | head -n 1)
if [ -z "$module" ] || [ -z "$vmlinuz" ]; then
	echo "kernel.sh: $package has no kernel with nbd" >&2
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
