"""Become another program: `python -I -S launch.py PARENT SIGNAL UID GID CAPABILITY ACCOUNT program arguments…`.

It runs in its own small interpreter (12 ms), because Python code between fork and exec is unsafe in a process with
threads. It imports only the standard library. It applies its arguments in this order:

UID GID         not -1: change from root to this user
CAPABILITY      not -1: keep this capability after the change of user and the exec
ACCOUNT         not -1: a user namespace in which we are this user; outside of it we remain who we are
SIGNAL          the signal that the kernel sends us when PARENT dies (Linux); a change of user clears it, so it is last
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
CAPABILITY_VERSION = 0x2008_0522
CLONE_NEWUSER = 0x1000_0000
ORPHANED = 125
"""The exit code if the parent died before the kernel was told to signal us."""

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> None:
    """Call a function of libc. Raises OSError if it fails."""
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def prctl(option: int, second: int = 0, third: int = 0) -> None:
    """Call `prctl`, whose arguments are all unsigned long."""
    call("prctl", option, *(ctypes.c_ulong(argument) for argument in (second, third, 0, 0)))


def change_user(uid: int, gid: int, capability: int) -> None:
    """Change from root to `uid`, but keep one capability. It is made ambient, so that it survives the exec."""
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
    """Become `account` in a new user namespace. The kernel still checks access to files against our real user."""
    uid, gid = os.geteuid(), os.getegid()
    call("unshare", CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{account} {uid} 1"), ("gid_map", f"{account} {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def main() -> None:
    """Apply the arguments and run the program."""
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
