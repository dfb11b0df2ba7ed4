"""Open connections to Postgres, and check that the server applied their settings.

The settings are sent as start-up parameters. A connection pooler refuses them, or drops them silently. The connection would
then have the owner's role, could write where it must only read, and would have no timeouts. Behind a pooler the settings are
therefore set by SQL, after a check that the connection has a session of its own (`pooler`).
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncpg
import orjson

from app.core.database.database_url import EXAMPLE
from app.core.database.pooler import FIND_BACKEND, LOST, MEND, SHARED, Connection, OwnNames, is_pooled, keeps_session
from app.core.database.schema import Found, SchemaGate
from app.core.database.sql import SqlFolder
from app.core.errors import WrongConnection

SERVICE_ROLE = "waystation_service"

IDLE_IN_TRANSACTION_SECONDS = 10.0
"""How long a process that was stopped inside a transaction holds its row locks at most."""

DROPPED = "a connection pooler probably dropped the start-up parameters"
REFUSED = "a connection pooler, such as PgBouncer, does not take a start-up parameter that the URL asks for"
KEPT = frozenset({"application_name"})
"""Start-up parameters that every pooler accepts."""


class _Settings(NamedTuple):
    """The settings of a session, a row of `find_settings.sql`. The timeouts are in seconds."""

    role: str
    statement_timeout: float
    idle_in_transaction_session_timeout: float
    default_transaction_read_only: str
    backend: int


_SQL = SqlFolder(__file__)
_FIND_SETTINGS = _SQL.query("find_settings", _Settings)
_SET = _SQL.command("set_settings")


@dataclass(frozen=True, slots=True)
class Terms:
    """The required settings of a connection: role, timeouts in seconds, and whether it may write."""

    statement_seconds: float
    read_only: bool
    role: str = SERVICE_ROLE
    idle_in_transaction_seconds: float = IDLE_IN_TRANSACTION_SECONDS

    @property
    def parameters(self) -> dict[str, str]:
        """The start-up parameters that request these settings."""
        return {
            "role": self.role,
            "statement_timeout": f"{round(self.statement_seconds * 1000)}ms",
            "idle_in_transaction_session_timeout": f"{round(self.idle_in_transaction_seconds * 1000)}ms",
            "default_transaction_read_only": "on" if self.read_only else "off",
        }

    @property
    def expected(self) -> dict[str, str | float]:
        """What `find_settings.sql` finds if the server applied them."""
        return {
            "role": self.role,
            "statement_timeout": round(self.statement_seconds, 3),
            "idle_in_transaction_session_timeout": round(self.idle_in_transaction_seconds, 3),
            "default_transaction_read_only": "on" if self.read_only else "off",
        }


def refusal_of_login(error: Exception) -> str | None:
    """Return what to fix if the server never accepts this URL's login. Returns None for other errors."""
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError | asyncpg.InvalidCatalogNameError):
        mend = f"expected a user, a password and a database that exist on the server, such as {EXAMPLE}"
    elif isinstance(error, ssl.SSLCertVerificationError) or "rejected SSL upgrade" in str(error):
        mend = (
            "expected an sslmode that the server supports, such as sslmode=prefer, and its certificate in sslrootcert"
        )
    else:
        return None
    return f"WAYSTATION_DATABASE_URL: the database refuses: {error}; {mend}"


async def connect_owner(arguments: Mapping[str, Any]) -> "asyncpg.Connection[asyncpg.Record]":
    """Open a connection with the role of the URL's login and a session of its own. `arguments`: from `connect_arguments`.

    Raises WrongConnection if a pooler shares sessions or the server refuses the login, and otherwise what asyncpg raises.
    """
    try:
        connection = await asyncpg.connect(**arguments, connection_class=OwnNames)
        backend = await connection.fetchval(FIND_BACKEND.text)
        shared = is_pooled(connection, backend) and not await keeps_session(
            connection, backend, lambda: asyncpg.connect(**arguments)
        )
    except LOST as error:
        raise WrongConnection(SHARED) from error
    except (asyncpg.PostgresError, OSError) as error:
        if (sentence := refusal_of_login(error)) is None:
            raise
        raise WrongConnection(sentence) from error
    if shared:
        await connection.close()
        raise WrongConnection(SHARED)
    return connection


def is_encrypted(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    """Return whether the connection uses TLS. The server does not know this behind a pooler. asyncpg has no public way."""
    transport = connection._transport  # type: ignore[attr-defined]
    return transport.get_extra_info("ssl_object") is not None


def differences(terms: Terms, found: dict[str, Any]) -> list[str]:
    """Return a text for each setting that is not as requested: its value, and the expected one."""
    return [
        f"{name} is {_shown(found[name])}, expected {_shown(wanted)}"
        for name, wanted in terms.expected.items()
        if found[name] != wanted
    ]


async def _find_settings(connection: Connection) -> _Settings:
    row = await connection.fetchrow(_FIND_SETTINGS.text)
    assert row is not None, _FIND_SETTINGS.name
    return _Settings(*row)


def _shown(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g} s"


Check = Callable[["asyncpg.Connection[asyncpg.Record]"], Awaitable[None]]


class Opener:
    """Opens the connections of a pool, and checks the settings and the schema of each before it is used."""

    def __init__(
        self,
        terms: Terms,
        told: Callable[[WrongConnection], None] | None = None,
        *,
        proven: bool = False,
        schema: SchemaGate | None = None,
        check: Check | None = None,
    ) -> None:
        """`told`: called with the error of a wrong connection before it is raised. `proven`: this process has had a good
        connection with these settings. `schema`: checks the schema. `check`: the last check before a connection is used; may
        raise WrongConnection."""
        self._terms = terms
        self._told = told
        self._proven = proven
        self._schema = schema
        self._check = check
        self._pooled = False
        self._settings: dict[str, str] = {}
        self._second: Callable[[], Any]
        self._proving = asyncio.Lock()  # a pooler then needs room for only one second connection at a time

    async def connect(self, *args: Any, **named: Any) -> "asyncpg.Connection[asyncpg.Record]":
        """Like asyncpg.connect. Raises WrongConnection if the server or a pooler refuses the settings, and SchemaBehind
        while the role does not exist yet.

        A refused login counts as a wrong setting only before the first good connection. Later it may be a failover.
        """
        self._settings = named["server_settings"]
        kept = {name: value for name, value in self._settings.items() if name in KEPT}
        self._second = lambda: asyncpg.connect(*args, **{**named, "server_settings": kept})
        with self._refusals():
            if not self._pooled:
                try:
                    return await asyncpg.connect(*args, **named)
                except asyncpg.ProtocolViolationError as error:
                    if "startup parameter" not in str(error):  # PgBouncer also raises it if the server is unreachable
                        raise
                    self._pooled = True
            connection: asyncpg.Connection[asyncpg.Record] = await self._second()
            return connection

    async def prepare(self, connection: Connection) -> None:
        """Run the checks, one round trip each, and set the codecs. Behind a pooler apply the settings first. Raises
        WrongConnection, SchemaBehind."""
        with self._refusals():
            found = await _find_settings(connection)
            if self._pooled or is_pooled(connection, found.backend):
                found = await self._settle(connection, found.backend)
        wrong = differences(self._terms, found._asdict())
        if wrong:
            raise self._wrong(
                f"the database connection has wrong settings: {'; '.join(wrong)}. Cause: {DROPPED}: {MEND}"
            )
        self._proven = True
        if self._schema is not None:
            await self._schema.check(connection)
        for kind in ("json", "jsonb"):
            await connection.set_type_codec(
                kind, encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads, schema="pg_catalog"
            )
        if self._check is None:
            return
        try:
            await self._check(connection)  # type: ignore[arg-type]
        except WrongConnection as error:
            if self._told is not None:
                self._told(error)
            raise

    async def _settle(self, connection: Connection, backend: int) -> _Settings:
        """Set by SQL what a pooler does not accept. Returns the resulting settings. Raises WrongConnection if the pooler
        shares sessions."""
        async with self._proving:
            if not await keeps_session(connection, backend, self._second):
                raise self._wrong(SHARED)
        settings = {name: value for name, value in self._settings.items() if name not in KEPT}
        await connection.fetch(_SET.text, list(settings), list(settings.values()))
        found = await _find_settings(connection)
        if found.backend != backend:
            raise self._wrong(SHARED)
        return found

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Turn errors about our URL and settings into WrongConnection if waiting cannot help."""
        try:
            yield
        except asyncpg.InsufficientPrivilegeError as error:
            # 42501 also means that the login may not connect to this database
            raise self._wrong(
                f"the database refuses: {error}; {self._terms.role} is the role all processes work as: in"
                " WAYSTATION_DATABASE_URL name the owner that ran `waystation migrate`, or let the owner GRANT"
                f" {self._terms.role} TO this login"
            ) from error
        except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError, OSError) as error:
            if self._proven or (sentence := refusal_of_login(error)) is None:
                raise
            raise self._wrong(sentence) from error
        except asyncpg.ObjectNotInPrerequisiteStateError as error:
            # the database accepts no connections now, as during a restore
            raise asyncpg.CannotConnectNowError(str(error)) from error
        except asyncpg.InvalidParameterValueError as error:
            if self._schema is not None:
                self._schema.judge(Found())
            raise self._wrong(
                f"the database refuses: {error}; the role {self._terms.role} is made by `waystation migrate`, run as the"
                " owner that WAYSTATION_DATABASE_URL names"
            ) from error
        except LOST as error:
            raise self._wrong(SHARED) from error
        except asyncpg.ProtocolViolationError as error:
            if "startup parameter" not in str(error):
                raise
            raise self._wrong(f"the database refuses: {error}. Cause: {REFUSED}: {MEND}") from error

    def _wrong(self, sentence: str) -> WrongConnection:
        error = WrongConnection(sentence)
        if self._told is not None:
            self._told(error)
        return error
