"""Compute the parts of a stack from the options and the environment. No process is started here."""

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from app.core.config.setting_files import find_setting
from app.core.config.settings import PREFIX, Settings, SettingsError, load_settings
from app.stack.errors import StackError
from app.stack.processes.child import ChildSpec, Ready
from app.stack.servers.credentials import Credentials
from app.stack.servers.ports import LOOPBACK
from app.stack.servers.probe import answers

DEFAULT_PORT = 8080
_EVERYWHERE = {"0.0.0.0": LOOPBACK, "::": "::1", "": LOOPBACK}  # noqa: S104
_GRACE_MARGIN_SECONDS = 5.0
_SIMULATOR_KEY = "simulator"
_TO_COME = {
    "DATABASE_URL": f"postgresql://owner@{LOOPBACK}/database",
    "REDIS_URL": f"redis://{LOOPBACK}",
    "PUBLIC_URL": f"http://{LOOPBACK}",
}
"""Placeholders for URLs that are known only when our servers run. The settings are checked before that."""


AsyncWebhooks = AbstractAsyncContextManager[str]


@dataclass(frozen=True, slots=True)
class UpOptions:
    """The options of `waystation up`. Port 0 means any free port. `environment` overrides the environment of our processes."""

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
    """Functions of the rooms above this one."""

    migrate: Callable[[str], object]
    """(owner's database URL) → migrate it to the newest schema; blocks."""
    ensure_demo_tenant: Callable[[str, str, str | None], Awaitable[tuple[str, str]]]
    """(owner's database URL, secret key, stored API key or None) → (tenant's name, its API key)."""
    guard_books: Callable[[str, str, bool | None], Awaitable[None]]
    """(owner's database URL, Redis URL, whether the database files are a copy; None if unknown): stop sending if they are, else
    record that this is the database that last ran here."""
    pause: Callable[[str], Awaitable[None]]
    """(owner's database URL) → pause submits to the upstream."""
    worker_ready: Callable[[str, int], Awaitable[bool]]
    """(owner's database URL, process id) → whether that worker has registered itself."""
    receive_webhooks: Callable[[Callable[[], Sequence[str]], Callable[[str, bool, bytes], None]], AsyncWebhooks]
    """(valid secrets, called for each webhook with id, whether it verifies, and body) → a receiver; yields its URL."""
    program: Sequence[str] = (sys.executable, "-m", "app.cli")
    """The command whose subcommands are `api`, `worker` and `simulator`."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """The URLs of the parts of a stack."""

    url: str
    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    upstream_url: str


def setting(name: str) -> str | None:
    """Return a setting of the environment or of a file that it names; None if empty or unset. Raises SettingsError."""
    return find_setting(name) or None


def runs_simulator(options: UpOptions) -> bool:
    """Return whether the stack runs the simulator: not if another upstream or a key for the real one is configured."""
    return options.simulator and not setting("UPSTREAM_URL") and not setting("UPSTREAM_API_KEY")


def upstream_url(simulator_port: int | None) -> str:
    """Return the URL of the upstream for jobs."""
    if simulator_port is not None:
        return f"http://{LOOPBACK}:{simulator_port}"
    return setting("UPSTREAM_URL") or str(Settings.model_fields["upstream_url"].default)


def reachable(host: str) -> str:
    """Return the host to connect to if a server listens on `host`."""
    return _EVERYWHERE.get(host, host)


def http_url(host: str, port: int) -> str:
    """Return the URL of our API for users of this machine."""
    name = reachable(host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def effective(credentials: Credentials) -> Credentials:
    """Return the credentials, with keys of the environment in place of stored ones. Raises StackError for any invalid
    setting."""
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
    """Return the settings of our processes. The environment overrides them where that makes sense."""
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
        history_url = find_setting("UPSTREAM_HISTORY_URL")  # empty: turned off
        settings["UPSTREAM_HISTORY_URL"] = addresses.upstream_url if history_url is None else history_url
    return {PREFIX + name: value for name, value in settings.items()} | dict(options.environment)


@dataclass(frozen=True, slots=True)
class Plan:
    """Makes the specs of our processes, which share one environment."""

    options: UpOptions
    program: Sequence[str]
    directory: Path
    environment: Mapping[str, str] = field(repr=False)

    def simulator(self, port: int) -> ChildSpec:
        """Return the simulator's spec. Its book is in the data directory."""
        book = self.directory / "simulator" / "book"
        arguments = ["--host", LOOPBACK, "--port", str(port), "--speed", str(self.options.speed), "--book", str(book)]

        async def ready(_: int) -> bool:
            return await answers(LOOPBACK, port)

        return self._spec("simulator", 0, arguments, ready)

    def workers(self, worker_ready: Ready) -> list[ChildSpec]:
        """Return the specs of all workers."""
        return [self._spec("worker", number, [], worker_ready) for number in range(self.options.workers)]

    def apis(self, descriptor: int, port: int) -> list[ChildSpec]:
        """Return the specs of all API processes, which share one listening socket."""

        async def ready(_: int) -> bool:
            # after a restore an operator must decide: until then the API serves only what is safe, which counts as ready
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
    """Return how many seconds its settings give a process of ours to stop."""
    names = ("GRACE_SECONDS", "SHUTDOWN_DELAY_SECONDS") if kind == "api" else ("GRACE_SECONDS",)
    return sum(float(setting(name) or Settings.model_fields[name.lower()].default) for name in names)
