"""Opening a connection to Postgres, and the proof that the server took the settings asked for.

The settings are sent as start-up parameters. A connection pooler refuses them, or drops them without a word; the connection
would then act as the owner, write where it must only read, and never time out. Behind a pooler they are therefore set by SQL,
once it is known that the session is the connection's own (`pooler`).
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncpg
import orjson

from app.core.database_url import EXAMPLE
from app.core.errors import WrongConnection
from app.core.pooler import FIND_BACKEND, LOST, MEND, SHARED, Connection, OwnNames, is_pooled, keeps_session
from app.core.schema import Found, SchemaGate
from app.core.sql import SqlFolder

SERVICE_ROLE = "waystation_service"

IDLE_IN_TRANSACTION_SECONDS = 10.0
"""A process stopped inside a transaction holds its row locks for this long at most."""

DROPPED = "a connection pooler probably dropped the start-up parameters"
REFUSED = "a connection pooler, such as PgBouncer, does not take a start-up parameter that the URL asks for"
KEPT = frozenset({"application_name"})
"""Start-up parameters that every pooler takes."""


class _Settings(NamedTuple):
    """What `find_settings.sql` finds of a session. The time-outs in seconds."""

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
    """What a connection must be: its role, its time-outs in seconds, and whether it may write."""

    statement_seconds: float
    read_only: bool
    role: str = SERVICE_ROLE
    idle_in_transaction_seconds: float = IDLE_IN_TRANSACTION_SECONDS

    @property
    def parameters(self) -> dict[str, str]:
        """The start-up parameters that ask for it."""
        return {
            "role": self.role,
            "statement_timeout": f"{round(self.statement_seconds * 1000)}ms",
            "idle_in_transaction_session_timeout": f"{round(self.idle_in_transaction_seconds * 1000)}ms",
            "default_transaction_read_only": "on" if self.read_only else "off",
        }

    @property
    def expected(self) -> dict[str, str | float]:
        """What `find_settings.sql` finds where the server took them."""
        return {
            "role": self.role,
            "statement_timeout": round(self.statement_seconds, 3),
            "idle_in_transaction_session_timeout": round(self.idle_in_transaction_seconds, 3),
            "default_transaction_read_only": "on" if self.read_only else "off",
        }


def refusal_of_login(error: Exception) -> str | None:
    """What to mend, where the server lets nobody in with such a URL, however often it is tried; None for other errors."""
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
    """A connection as the login of the URL itself, to a session of its own. `arguments`: of `connect_arguments`.

    Raises WrongConnection where a pooler shares sessions, or the server lets nobody in with that URL; else what asyncpg raises.
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
    """Whether it is TLS, also to a pooler, of which the server knows nothing. asyncpg has no public way to tell."""
    transport = connection._transport  # type: ignore[attr-defined]
    return transport.get_extra_info("ssl_object") is not None


def differences(terms: Terms, found: dict[str, Any]) -> list[str]:
    """For each setting that is not as asked for: what it is, and what was expected."""
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
    """Opens the connections of a pool. Each proves its settings, and the schema it finds, before it is used."""

    def __init__(
        self,
        terms: Terms,
        told: Callable[[WrongConnection], None] | None = None,
        *,
        proven: bool = False,
        schema: SchemaGate | None = None,
        check: Check | None = None,
    ) -> None:
        """`told`: called with each connection that is not as asked for, before its user hears of it. `proven`: whether this
        process has had a good connection with these settings. `schema`: what else a connection must prove. `check`: what
        is done with it then, before it is used; may raise WrongConnection."""
        self._terms = terms
        self._told = told
        self._proven = proven
        self._schema = schema
        self._check = check
        self._pooled = False
        self._settings: dict[str, str] = {}
        self._second: Callable[[], Any]
        self._proving = asyncio.Lock()  # one second connection at a time is all that a pooler must have room for

    async def connect(self, *args: Any, **named: Any) -> "asyncpg.Connection[asyncpg.Record]":
        """As asyncpg.connect; raises WrongConnection where the server or a pooler refuses the settings, and SchemaBehind
        while our role is still to be made.

        A refused login is a wrong setting only until the first connection was good: later it may be a failover.
        """
        self._settings = named["server_settings"]
        kept = {name: value for name, value in self._settings.items() if name in KEPT}
        self._second = lambda: asyncpg.connect(*args, **{**named, "server_settings": kept})
        with self._refusals():
            if not self._pooled:
                try:
                    return await asyncpg.connect(*args, **named)
                except asyncpg.ProtocolViolationError as error:
                    if "startup parameter" not in str(error):  # PgBouncer says so of a server that is away, too
                        raise
                    self._pooled = True
            connection: asyncpg.Connection[asyncpg.Record] = await self._second()
            return connection

    async def prepare(self, connection: Connection) -> None:
        """The proofs, a round trip each, and the codecs. Behind a pooler the settings first. Raises WrongConnection,
        SchemaBehind."""
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
        """Set by SQL what a pooler does not take; what is found thereafter. Raises WrongConnection where it would not last."""
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
        """What the server says of our URL and settings, as WrongConnection where waiting mends nothing."""
        try:
            yield
        except asyncpg.InsufficientPrivilegeError as error:
            # 42501 says also that the login may not connect to this database
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
            # the database takes no connections just now, as while it is restored
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
