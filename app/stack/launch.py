"""Become another program: `python -I -S launch.py PARENT SIGNAL UID GID CAPABILITY ACCOUNT program arguments…`.

Run by path in a small interpreter of its own (12 ms) rather than between fork and exec, where Python code is unsafe
once there are threads. Only the standard library, nothing of ours. In order:

UID GID         not -1: give up root for this user
CAPABILITY      not -1: keep this one capability across the change of user and the exec
ACCOUNT         not -1: a user namespace in which we are this user and outside of it remain who we are
SIGNAL          what the kernel sends us when PARENT dies (Linux); a change of user forgets it, so it comes last
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
CAPABILITY_VERSION = 0x2008_0522
CLONE_NEWUSER = 0x1000_0000
ORPHANED = 125
"""Exit code where the parent died before it could be told to take us along."""

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> None:
    """Call into libc; raises OSError where it refuses."""
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def prctl(option: int, second: int = 0, third: int = 0) -> None:
    """`prctl`, all of whose arguments are unsigned long."""
    call("prctl", option, *(ctypes.c_ulong(argument) for argument in (second, third, 0, 0)))


def change_user(uid: int, gid: int, capability: int) -> None:
    """Drop root for `uid`, but for one capability, made ambient so that the exec keeps it."""
    if capability >= 0:
        prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if capability >= 0:
        low, high = (1 << capability) & 0xFFFF_FFFF, (1 << capability) >> 32
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
        call("capset", header, (ctypes.c_uint32 * 6)(low, low, low, high, high, high))
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


def enter_namespace(account: int) -> None:
    """Be `account` in a new user namespace; the kernel still checks files against who we really are."""
    uid, gid = os.geteuid(), os.getegid()
    call("unshare", CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{account} {uid} 1"), ("gid_map", f"{account} {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def main() -> None:
    """Do as the arguments say, and never return."""
    parent, death_signal, uid, gid, capability, account = map(int, sys.argv[1:7])
    command = sys.argv[7:]
    if uid >= 0:
        change_user(uid, gid, capability)
    if account >= 0:
        try:
            enter_namespace(account)
        except OSError as error:
            sys.exit(
                f"{command[0]} must run as an ordinary user with an account, and a user namespace cannot be created: {error}"
            )
    if sys.platform == "linux":
        prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:
        os._exit(ORPHANED)
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"launch: {error}")
