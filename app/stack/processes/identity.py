"""Choose the user that a server runs as. Postgres refuses to run as root, and anybody may start us as root.

If we are not root: as ourselves. If we are root: as the owner of the data if that is not root, else as `nobody`, and
    1. without more, if that user can reach the binaries and the data;
    2. with one capability, if a directory above is closed (a venv under /root, data in a 0700 directory):
       CAP_DAC_READ_SEARCH, or CAP_DAC_OVERRIDE if the container grants only that;
    3. if root may not change the user (rootless containers): in a user namespace, as `nobody` inside and as
       ourselves on disk. The same for an ordinary user without an account, because initdb needs one.
1 and 2 create the same files, so either may follow the other. No directory above DIR is ever changed.
"""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from app.stack.errors import StackError
from app.stack.files import text_of

CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_SETGID, CAP_SETUID = 0, 1, 2, 6, 7
_CHANGE_USER = (CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_SETGID, CAP_SETUID)
"""What root needs to give files away and still read them."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The user and capability for `launch`. -1 means no change."""

    uid: int = -1
    gid: int = -1
    capability: int = -1
    account: int = -1

    def own(self, path: Path) -> None:
        """Give `path` and everything below it to this user, if it belongs to another."""
        if self.uid < 0 or path.stat().st_uid == self.uid:
            return
        for directory, _, files in os.walk(path, topdown=False):
            for name in files:
                os.lchown(os.path.join(directory, name), self.uid, self.gid)
            os.lchown(directory, self.uid, self.gid)


OURSELVES = Identity()


def _nobody() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        raise StackError("started as root, but there is no account `nobody` to run Postgres as") from None


def _has_account(uid: int) -> bool:
    try:
        return bool(pwd.getpwuid(uid))
    except KeyError:
        return False


def _capabilities() -> int:
    """Return the permitted capabilities of this process as a bit mask; 0 if the system has none."""
    status = text_of(Path("/proc/self/status")) or ""
    return next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapPrm")), 0)


def _reaches(path: Path, uid: int, gid: int) -> bool:
    """Return whether the mode bits let this user pass every directory above `path`."""
    for directory in path.resolve().parents:
        found = directory.stat()
        bit = stat.S_IXUSR if found.st_uid == uid else stat.S_IXGRP if found.st_gid == gid else stat.S_IXOTH
        if not found.st_mode & bit:
            return False
    return True


def choose_identity(data: Path, *needed: Path) -> Identity:
    """Choose for a server with files in `data` (which must exist) that needs to reach `needed`. Raises StackError."""
    if os.geteuid() != 0:
        return OURSELVES if _has_account(os.geteuid()) else Identity(account=_nobody().pw_uid)
    nobody = _nobody()
    if os.uname().sysname != "Linux":
        return Identity(nobody.pw_uid, nobody.pw_gid)
    held = _capabilities()
    if not all(held >> capability & 1 for capability in _CHANGE_USER) or not _maps(nobody.pw_uid):
        return Identity(account=nobody.pw_uid)
    owner = data.stat()
    uid, gid = (owner.st_uid, owner.st_gid) if owner.st_uid != 0 else (nobody.pw_uid, nobody.pw_gid)
    if all(_reaches(path, uid, gid) for path in (data, *needed)):
        return Identity(uid, gid)
    return Identity(uid, gid, CAP_DAC_READ_SEARCH if held >> CAP_DAC_READ_SEARCH & 1 else CAP_DAC_OVERRIDE)


def _maps(uid: int) -> bool:
    """Return whether this user exists in this user namespace."""
    lines = Path("/proc/self/uid_map").read_text(encoding="utf-8").splitlines()
    return any(int(first) <= uid < int(first) + int(count) for first, _, count in (line.split() for line in lines))
