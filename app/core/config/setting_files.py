"""Read a setting from `WAYSTATION_X`, or from the file that `WAYSTATION_X_FILE` names.

With files, secrets that a platform mounts stay out of the environment. A process reads a file once. Line ends at the end
of a file are ignored.
"""

import os
from collections.abc import Mapping
from functools import cache
from typing import Final

PREFIX: Final = "WAYSTATION_"
FILE_SUFFIX: Final = "_FILE"
FILE_BYTES_MAX: Final = 64 * 1024


class SettingsError(Exception):
    """A setting is missing or wrong; the message names it and says what is expected."""


class SettingMissing(SettingsError):
    """No source gives the setting."""


def find_setting(name: str) -> str | None:
    """Return the setting of this name (without prefix: `DATABASE_URL`), or None if neither it nor a file is given.

    Raises SettingsError if the file cannot be read, or if both are given.
    """
    value, path = os.environ.get(PREFIX + name), find_file(name)
    if path is None:
        return value
    if value:
        raise SettingsError(f"{PREFIX}{name}: is set twice; set either it or {PREFIX}{name}{FILE_SUFFIX}")
    try:
        return _read(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except ValueError as error:
        reason = str(error)
    raise SettingsError(
        f"{PREFIX}{name}{FILE_SUFFIX}: {_shown(path)} cannot be read: {reason}; expected the path of a file that holds"
        f" the value of {PREFIX}{name}, such as /run/secrets/{name.lower()}"
    )


def find_file(name: str) -> str | None:
    """Return the path of the file that holds this setting, or None."""
    return os.environ.get(PREFIX + name + FILE_SUFFIX) or None


def named(name: str) -> str:
    """Return this setting's name for errors, with its file if it has one."""
    path = find_file(name)
    return PREFIX + name if path is None else f"{PREFIX}{name} (in the file {_shown(path)})"


def with_files(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with the settings from its files added. Unreadable files are left out: the code that needs a
    setting reports that."""
    found = dict(environment)
    for variable, path in environment.items():
        if variable.startswith(PREFIX) and variable.endswith(FILE_SUFFIX) and path:
            try:
                found[variable.removesuffix(FILE_SUFFIX)] = _read(path)
            except (OSError, ValueError):
                continue
    return found


def replaced(environment: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with `settings` put in, and without the `_FILE` variables of these settings."""
    files = {name + FILE_SUFFIX for name in settings}
    return {name: value for name, value in environment.items() if name not in files} | dict(settings)


@cache  # a pipe, such as `<(…)` of a shell, can be read only once
def _read(path: str) -> str:
    with open(path, "rb") as file:
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise ValueError(f"it has more than {FILE_BYTES_MAX} bytes")
    try:
        text = content.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    if any(character in text for character in "\r\n\0"):
        raise ValueError("it has more than one line")
    return text


def _shown(path: str) -> str:
    """Return the path, unless it may be a secret that was given instead of a path."""
    return path if path.startswith(("/", "./", "../")) else "what it names"
