"""Environment variables that this program ignores."""

import os
from typing import Final

_IGNORED_VARIABLES: Final = (
    "PGHOST",
    "PGPORT",
    "PGSERVICE",
    "PGSSLMODE",
    "PGSSLNEGOTIATION",
    "PGSSLCERT",
    "PGSSLKEY",
    "PGSSLROOTCERT",
    "PGSSLCRL",
    "PGSSLMINPROTOCOLVERSION",
    "PGSSLMAXPROTOCOLVERSION",
    "PGTARGETSESSIONATTRS",
    "PGKRBSRVNAME",
    "PGGSSLIB",
)


def ignore_variables_of_libpq() -> None:
    """Remove variables from this process's environment that asyncpg would read, even if the URL has the setting.

    They are meant for psql in the same shell, and could break connections to another server.
    """
    for name in _IGNORED_VARIABLES:
        os.environ.pop(name, None)
