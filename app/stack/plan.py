"""What a stack is made of, worked out from the options and the environment: no process is started here."""

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from app.core.setting_files import find_setting
from app.core.settings import PREFIX, Settings, SettingsError, load_settings
from app.stack.child import ChildSpec, Ready
from app.stack.credentials import Credentials
from app.stack.errors import StackError
from app.stack.ports import LOOPBACK
from app.stack.probe import answers

DEFAULT_PORT = 8080
_EVERYWHERE = {"0.0.0.0": LOOPBACK, "::": "::1", "": LOOPBACK}  # noqa: S104
_GRACE_MARGIN_SECONDS = 5.0
_SIMULATOR_KEY = "simulator"
_TO_COME = {
    "DATABASE_URL": f"postgresql://owner@{LOOPBACK}/database",
    "REDIS_URL": f"redis://{LOOPBACK}",
    "PUBLIC_URL": f"http://{LOOPBACK}",
}
"""Stand-ins for URLs that are known only once our own servers run; the settings are checked before that."""


AsyncWebhooks = AbstractAsyncContextManager[str]


@dataclass(frozen=True, slots=True)
class UpOptions:
    """The options of `waystation up`; port 0: any. `environment` goes to our processes on top of everything else."""

    host: str = LOOPBACK
    port: int = DEFAULT_PORT
    data_dir: Path = Path(".waystation")
    workers: int = 1
    apis: int = 1
    simulator: bool = True
    paused: bool = False
    speed: float = 1.0
    ready_file: Path | None = None
    json: bool = False
    logs_to_terminal: bool = False
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Seams:
    """What the rooms above this one do for it."""

    migrate: Callable[[str], object]
    """Bring the database of this URL to the newest schema; blocks."""
    ensure_demo_tenant: Callable[[str, str, str | None], Awaitable[tuple[str, str]]]
    """(owner's database URL, secret key, stored key or None) → (tenant's name, its key)."""
    guard_books: Callable[[str, str, bool | None], Awaitable[None]]
    """(owner's database URL, Redis URL, whether its files are a copy, or None where that is unknown): stop sending, or say
    that this is the database that last ran here."""
    pause: Callable[[str], Awaitable[None]]
    """(owner's database URL) → pause submits to the upstream."""
    worker_ready: Callable[[str, int], Awaitable[bool]]
    """(owner's database URL, process) → whether that worker has reported for work."""
    receive_webhooks: Callable[[Callable[[], Sequence[str]], Callable[[str, bool, bytes], None]], AsyncWebhooks]
    """(secrets that verify, told of each that arrives: id, whether it verifies, body) → a receiver, by its URL."""
    program: Sequence[str] = (sys.executable, "-m", "app.cli")
    """What `api`, `worker` and `simulator` are commands of."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything is."""

    url: str
    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    upstream_url: str


def setting(name: str) -> str | None:
    """What the environment or a file that it names says; nothing counts as not said. Raises SettingsError."""
    return find_setting(name) or None


def runs_simulator(options: UpOptions) -> bool:
    """Whether the upstream is our own simulator: unless another is named, or there is a key to the real one."""
    return options.simulator and not setting("UPSTREAM_URL") and not setting("UPSTREAM_API_KEY")


def upstream_url(simulator_port: int | None) -> str:
    """The upstream that jobs go to."""
    if simulator_port is not None:
        return f"http://{LOOPBACK}:{simulator_port}"
    return setting("UPSTREAM_URL") or str(Settings.model_fields["upstream_url"].default)


def reachable(host: str) -> str:
    """The host to connect to where a server listens on `host`."""
    return _EVERYWHERE.get(host, host)


def http_url(host: str, port: int) -> str:
    """The URL of our API as people of this machine use it."""
    name = reachable(host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def effective(credentials: Credentials) -> Credentials:
    """These, but for the keys that the environment sets; raises StackError for any setting there that is wrong, before
    anything is started."""
    try:
        found = Credentials(
            tenant_key=credentials.tenant_key,
            admin_key=setting("ADMIN_KEY") or credentials.admin_key,
            secret_key=setting("SECRET_KEY") or credentials.secret_key,
            database_password=credentials.database_password,
            redis_password=credentials.redis_password,
        )
        load_settings(
            database_url=setting("DATABASE_URL") or _TO_COME["DATABASE_URL"],
            redis_url=setting("REDIS_URL") or _TO_COME["REDIS_URL"],
            public_url=setting("PUBLIC_URL") or _TO_COME["PUBLIC_URL"],
            secret_key=found.secret_key,
            admin_key=found.admin_key,
            upstream_url=upstream_url(None),
            unpriced_models=setting("UNPRICED_MODELS") or "pass",
        )
    except SettingsError as error:
        raise StackError(str(error)) from error
    return found


def environment(options: UpOptions, addresses: Addresses, credentials: Credentials) -> dict[str, str]:
    """The settings of our processes; what the environment sets is not overridden where that makes sense."""
    settings = {
        "DATABASE_URL": addresses.database_url,
        "REDIS_URL": addresses.redis_url,
        "UPSTREAM_URL": addresses.upstream_url,
        "SECRET_KEY": credentials.secret_key,
        "ADMIN_KEY": credentials.admin_key,
        "PUBLIC_URL": setting("PUBLIC_URL") or addresses.url,
        "UNPRICED_MODELS": setting("UNPRICED_MODELS") or "pass",
    }
    if runs_simulator(options):
        settings["UPSTREAM_API_KEY"] = _SIMULATOR_KEY
        settings["UPSTREAM_HISTORY_URL"] = setting("UPSTREAM_HISTORY_URL") or addresses.upstream_url
    return {PREFIX + name: value for name, value in settings.items()} | dict(options.environment)


@dataclass(frozen=True, slots=True)
class Plan:
    """Makes the specs of our processes, all of which share one environment."""

    options: UpOptions
    program: Sequence[str]
    directory: Path
    environment: Mapping[str, str] = field(repr=False)

    def simulator(self, port: int) -> ChildSpec:
        """The upstream simulator, which keeps its book in the data directory."""
        book = self.directory / "simulator" / "book"
        arguments = ["--host", LOOPBACK, "--port", str(port), "--speed", str(self.options.speed), "--book", str(book)]

        async def ready(_: int) -> bool:
            return await answers(LOOPBACK, port)

        return self._spec("simulator", 0, arguments, ready)

    def workers(self, worker_ready: Ready) -> list[ChildSpec]:
        """As many workers as asked for."""
        return [self._spec("worker", number, [], worker_ready) for number in range(self.options.workers)]

    def apis(self, descriptor: int, port: int) -> list[ChildSpec]:
        """As many API processes as asked for, on one listening socket."""

        async def ready(_: int) -> bool:
            # restored books are for somebody to look at: the API then serves what it may
            return await answers(reachable(self.options.host), port, "/readyz", or_says=b'"restored"')

        arguments = ["--fd", str(descriptor)]
        return [self._spec("api", number, arguments, ready, descriptor) for number in range(self.options.apis)]

    def _spec(self, kind: str, number: int, arguments: Sequence[str], ready: Ready, *pass_fds: int) -> ChildSpec:
        name = f"{kind}-{number}"
        return ChildSpec(
            name=name,
            kind=kind,
            argv=[*self.program, kind, *arguments],
            environment=self.environment,
            pass_fds=pass_fds,
            ready=ready,
            grace_seconds=_stop_seconds(kind) + _GRACE_MARGIN_SECONDS,
            log_path=None if self.options.logs_to_terminal else self.directory / "logs" / f"{name}.log",
        )


def _stop_seconds(kind: str) -> float:
    """How long a process of ours may take to stop by its settings."""
    names = ("GRACE_SECONDS", "SHUTDOWN_DELAY_SECONDS") if kind == "api" else ("GRACE_SECONDS",)
    return sum(float(setting(name) or Settings.model_fields[name.lower()].default) for name in names)
