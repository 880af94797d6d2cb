package diskimage

import (
	"io"

	"github.com/snapview/snapview/snapshot/diskimage/ext4fs"
	"github.com/snapview/snapview/snapshot/diskimage/imagefs"
	"github.com/snapview/snapview/snapshot/diskimage/xfsfs"
)

// kindLVM is what file systems may lie on.
const kindLVM = "LVM"

// readers are the file systems that can be read, by their kinds.
var readers = map[string]func(io.ReaderAt, int64) (imagefs.FS, error){
	"ext4": func(r io.ReaderAt, size int64) (imagefs.FS, error) { return ext4fs.Open(r, size) },
	"XFS":  func(r io.ReaderAt, size int64) (imagefs.FS, error) { return xfsfs.Open(r, size) },
}

// readable says which of them a volume begins with, "" if none.
func readable(head []byte) string {
	switch {
	case ext4fs.Is(head):
		return "ext4"
	case xfsfs.Is(head):
		return "XFS"
	}
	return ""
}

// signs are what volumes of other kinds begin with.
var signs = []struct {
	at   int64
	text string
	kind string
}{
	{0x10040, "_BHRfS_M", "Btrfs"},
	{0, "LUKS\xba\xbe", "LUKS (encrypted)"},
	{3, "NTFS    ", "NTFS"},
	{0x1000, "\xfc\x4e\x2b\xa9", "Linux software RAID"},
	{4086, "SWAPSPACE2", "swap"},
	{82, "FAT32   ", "FAT"},
	{54, "FAT1", "FAT"},
}

// fileSystem says what a volume holds, "" if that is not known.
func fileSystem(r io.ReaderAt, start, size int64) string {
	head := make([]byte, 0x10100)
	n, _ := r.ReadAt(head[:min(int64(len(head)), max(size, 0))], start)
	head = head[:n]
	if kind := readable(head); kind != "" {
		return kind
	}
	for _, s := range signs {
		if end := s.at + int64(len(s.text)); end <= int64(n) && string(head[s.at:end]) == s.text {
			return s.kind
		}
	}
	if isLVM(head) {
		return kindLVM
	}
	return ""
}

// isLVM: its label is in one of the first four sectors.
func isLVM(head []byte) bool {
	for at := 0; at < 2048 && at+8 <= len(head); at += 512 {
		if string(head[at:at+8]) == "LABELONE" {
			return true
		}
	}
	return false
}

// Is says whether the beginning of a file, 2048 bytes of it, is that of a disk
// image: qcow2, a partition table, or a file system that is known.
func Is(head []byte) bool {
	if isQcow2(head) || readable(head) != "" || isLVM(head) || len(head) >= 520 && string(head[512:520]) == "EFI PART" {
		return true
	}
	for _, s := range signs {
		if end := s.at + int64(len(s.text)); end <= int64(len(head)) && string(head[s.at:end]) == s.text {
			return true
		}
	}
	if len(head) < 512 || head[mbrSignature] != 0x55 || head[mbrSignature+1] != 0xAA {
		return false
	}
	for i := range 4 {
		if kind, start, count := mbrEntry(head, i); kind != 0 && start != 0 && count != 0 {
			return true
		}
	}
	return false
}
