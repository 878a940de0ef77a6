"""Whether a file lies on a network file system, where SQLite's locks do not hold."""

from __future__ import annotations

import os
import re
from pathlib import Path

_REMOTE = (
    "9p afs beegfs ceph cifs coda davfs glusterfs gpfs lustre ncpfs nfs nfs4 orangefs panfs pvfs2 smb3 smbfs "
    "fuse.beegfs fuse.ceph fuse.ceph-fuse fuse.cifs fuse.davfs fuse.gcsfuse fuse.glusterfs fuse.goofys fuse.juicefs "
    "fuse.mount.s3fs fuse.rclone fuse.s3fs fuse.smbnetfs fuse.sshfs"
)
_NETWORK = frozenset(_REMOTE.split())


def network_file_system(path: str, mountinfo: str) -> tuple[str, str] | None:
    """Returns mount point and type of the network file system that an absolute path without links lies on.

    `mountinfo` is the text of /proc/self/mountinfo. None where the file system is a local one or is not listed.
    """
    longest, kind = "", ""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, type_fields = before.split(" "), after.split(" ")
        if len(fields) < 5:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        below = point.rstrip("/") + "/"
        # As long as, not longer than: of two mounts on one point the later one covers the earlier.
        if f"{path}/".startswith(below) and len(point) >= len(longest):
            longest, kind = point, type_fields[0]
    return (longest, kind) if kind in _NETWORK else None


def mounts_of_this_host() -> str:
    """Returns the text of /proc/self/mountinfo, empty where the system has none."""
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def lies_on_network(path: Path) -> tuple[str, str] | None:
    """Returns mount point and type of the network file system that path lies on, or None."""
    return network_file_system(os.path.realpath(path), mounts_of_this_host())
