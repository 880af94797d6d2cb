package attach

// Kind says what a Resource is.
type Kind string

// The kinds, in the order in which an attachment takes them.
const (
	KindDir   Kind = "dir"   // a directory made by us
	KindFUSE  Kind = "fuse"  // a FUSE mount
	KindLoop  Kind = "loop"  // a loop device
	KindNBD   Kind = "nbd"   // a kernel NBD device
	KindMount Kind = "mount" // the ext4 mount
)

// State says how far the taking of a Resource went.
type State string

const (
	// Wanted is recorded before the resource is taken: it may or may not
	// exist, and details that the kernel chooses are not known.
	Wanted State = "wanted"
	// Held is recorded when it was taken and its details are known.
	Held State = "held"
	// Released is recorded when it was given back.
	Released State = "released"
)

// A Resource is one thing of the kernel's that an attachment holds, described
// so that another process can find it later and be sure that it is the same.
// It is plain data, made to be stored as JSON.
type Resource struct {
	// ID is the same in every record about one resource; it is unique among
	// all attachments with different Dir.
	ID    string `json:"id"`
	Kind  Kind   `json:"kind"`
	State State  `json:"state"`

	// Path is the directory, the mount point, or the device's path (empty
	// until the kernel has chosen one).
	Path string `json:"path,omitempty"`
	// Source is a mount's source as /proc/self/mountinfo shows it. That of a
	// FUSE mount is unique to the attachment.
	Source string `json:"source,omitempty"`
	// Backing is the file under a loop device, BackingDev and BackingIno
	// its identity.
	Backing    string `json:"backing,omitempty"`
	BackingDev uint64 `json:"backing_dev,omitempty"`
	BackingIno uint64 `json:"backing_ino,omitempty"`
	// Index is the number of an NBD device, -1 when not yet known.
	Index int `json:"index,omitempty"`
	// Backend is the NBD device's backend identifier, unique to the
	// attachment; kernels before 5.14 do not keep it.
	Backend string `json:"backend,omitempty"`
	// PID is the process that took it.
	PID int `json:"pid,omitempty"`
	// BootID is the boot during which it was taken. Nothing of the kernel's
	// survives a reboot, only directories do.
	BootID string `json:"boot_id,omitempty"`
}

// Latest folds a log of records into the last one about each resource, in the
// order of their first mention, without those released.
func Latest(log []Resource) []Resource {
	last := make(map[string]Resource, len(log))
	var order []string
	for _, r := range log {
		if _, seen := last[r.ID]; !seen {
			order = append(order, r.ID)
		}
		last[r.ID] = r
	}
	var out []Resource
	for _, id := range order {
		if last[id].State != Released {
			out = append(out, last[id])
		}
	}
	return out
}
