"""Whom a server runs as. Postgres refuses to be root, and everybody may start us as root.

Not root: as we are. Root: as the owner of the data where that is an ordinary user, else as `nobody`, and
    1. plainly, where that user can reach the binaries and the data;
    2. with one capability, where a directory above is closed (a venv under /root, data in a 0700 directory):
       CAP_DAC_READ_SEARCH, or CAP_DAC_OVERRIDE where containers grant only that;
    3. root without the right to change user (rootless containers): in a user namespace, as `nobody` within and
       as ourselves on disk. So does an ordinary user who has no account, because initdb wants one.
1 and 2 leave the same files behind, so that either can follow the other. No directory above DIR is ever changed.
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
"""What root needs to hand files over and still read them."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What `launch` is told about users; -1 leaves a thing as it is."""

    uid: int = -1
    gid: int = -1
    capability: int = -1
    account: int = -1

    def own(self, path: Path) -> None:
        """Hand `path` and everything below it to this identity, where it is another's."""
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
    """The permitted set of this process as a bit mask; 0 where there is no such thing."""
    status = text_of(Path("/proc/self/status")) or ""
    return next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapPrm")), 0)


def _reaches(path: Path, uid: int, gid: int) -> bool:
    """Whether that user may pass every directory above `path`, by the mode bits."""
    for directory in path.resolve().parents:
        found = directory.stat()
        bit = stat.S_IXUSR if found.st_uid == uid else stat.S_IXGRP if found.st_gid == gid else stat.S_IXOTH
        if not found.st_mode & bit:
            return False
    return True


def choose_identity(data: Path, *needed: Path) -> Identity:
    """How a server that keeps its files in `data` (which exists) and needs `needed` runs; raises StackError."""
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
    """Whether that user exists in this user namespace."""
    lines = Path("/proc/self/uid_map").read_text(encoding="utf-8").splitlines()
    return any(int(first) <= uid < int(first) + int(count) for first, _, count in (line.split() for line in lines))
