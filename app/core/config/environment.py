"""What the environment must not decide."""

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
    """Remove from this process's environment what asyncpg would read there, also for what the URL says itself.

    They are meant for psql in the same shell, and would break connections to a server of which they know nothing.
    """
    for name in _IGNORED_VARIABLES:
        os.environ.pop(name, None)
