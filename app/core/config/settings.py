"""Settings: `WAYSTATION_…` in the environment, or in the files that `WAYSTATION_…_FILE` name, read once at start. A wrong
setting stops the process with an error that names it."""

import gc
import os
from collections.abc import Set
from ipaddress import ip_network
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.core.addresses import Network
from app.core.config.setting_files import FILE_SUFFIX, find_file, find_setting, named
from app.core.config.setting_files import PREFIX as PREFIX
from app.core.config.setting_files import SettingsError as SettingsError
from app.core.config.urls import checked_http_url, checked_proxy_url
from app.core.credits import parse_credits
from app.core.database.database_url import checked_database_url
from app.core.logs.log import LogFormat, configure_logging, get_logger
from app.core.logs.redaction import know, secrets_of_list, secrets_of_url
from app.core.redis.redis_url import checked_redis_url

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

UPSTREAM_URL = "https://api.segmind.com"
UPSTREAM_HISTORY_URL = "https://api.spotprod.segmind.com"
UNKNOWN_SECONDS_MAX = 30 * 86_400
"""How long a submission may stay unknown at most. Its hold stays as long."""
PUBLIC_URL_BYTES_MAX = 300
"""A webhook has at most 20,000 bytes and contains the URL several times."""


EXPECTED = {
    "upstream_rpm": "requests a minute above 0, such as 600, or nothing",
    "upstream_max_in_flight": "a whole number of jobs, such as 200, or nothing",
    "unpriced_models": "refuse or pass",
    "result_bytes_max": "bytes from 1024 to 536870912, such as 33554432",
    "unknown_max_seconds": "seconds above 0, at most 2592000, such as 3600",
    "history_settle_seconds": "seconds from 0 to 86400, such as 600",
    "lease_seconds": "seconds from 1 to 300, such as 15",
    "sweep_seconds": "seconds above 0, at most 60, such as 1",
    "grace_seconds": "seconds from 0 to 600, such as 25",
    "shutdown_delay_seconds": "seconds from 0 to 600, such as 5",
    "log_format": "console or json",
    "log_level": "DEBUG, INFO, WARNING or ERROR",
}
"""For errors of settings that pydantic checks by type. The others have a function whose error says it."""


def _http_url_or_nothing(value: str | None) -> str | None:
    return value and checked_http_url(value)


def _proxy_url_or_nothing(value: str | None) -> str | None:
    return checked_proxy_url(value) if value else None


def _or_nothing(value: object) -> object:
    return None if value == "" else value


def _credits(value: str) -> str:
    parse_credits(value)
    return value


def split_secrets(text: str) -> tuple[bytes, ...]:
    """Split a comma list of secret keys. The first one encrypts. Raises ValueError."""
    keys = [key.strip() for key in text.split(",")]
    if any(len(key) < 32 for key in keys):
        raise ValueError("expected a comma list of secrets of at least 32 characters each; the first one encrypts")
    return tuple(key.encode() for key in keys)


def _secrets(value: SecretStr) -> SecretStr:
    split_secrets(value.get_secret_value())
    return value


ADMIN_KEY_LENGTH_MIN = 32


def _admin_key(value: SecretStr | None) -> SecretStr | None:
    length = len(value.get_secret_value().strip()) if value is not None else 0
    if 0 < length < ADMIN_KEY_LENGTH_MIN:
        raise ValueError(
            f"expected at least {ADMIN_KEY_LENGTH_MIN} characters, such as `openssl rand -hex 32` prints, or nothing"
        )
    return value


def split_networks(text: str) -> tuple[Network, ...]:
    """Split a comma list of networks, which may be empty. Raises ValueError."""
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise ValueError("expected a comma list of networks such as 10.0.0.0/8,fd00::/8") from None


def _networks(value: str) -> str:
    split_networks(value)
    return value


def find_history_url(upstream_url: str, given: str | None) -> str:
    """Return the history's URL: the given one, else the default upstream's. It is empty for another upstream, whose key the
    default history must not get."""
    if given is not None:
        return given
    return UPSTREAM_HISTORY_URL if upstream_url == UPSTREAM_URL else ""


def _public_url(value: str) -> str:
    if len(value.encode()) > PUBLIC_URL_BYTES_MAX:
        raise ValueError(f"expected at most {PUBLIC_URL_BYTES_MAX} bytes, such as https://gateway.example.com")
    return checked_http_url(value)


class Settings(BaseSettings):
    """What one process of the gateway needs to know. Names, defaults and units as in the README's table."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    database_url: Annotated[str, AfterValidator(checked_database_url)]
    redis_url: Annotated[str, AfterValidator(checked_redis_url)]
    upstream_url: Annotated[str, AfterValidator(checked_http_url)] = UPSTREAM_URL
    upstream_history_url: Annotated[str | None, AfterValidator(_http_url_or_nothing)] = None
    upstream_api_key: SecretStr = SecretStr("")
    upstream_proxy: Annotated[str | None, AfterValidator(_proxy_url_or_nothing), Field(repr=False)] = None
    upstream_rpm: Annotated[float | None, Field(gt=0, allow_inf_nan=False), BeforeValidator(_or_nothing)] = None
    upstream_max_in_flight: Annotated[int | None, Field(ge=0), BeforeValidator(_or_nothing)] = None
    public_url: Annotated[str, AfterValidator(_public_url)]
    admin_key: Annotated[SecretStr | None, AfterValidator(_admin_key)] = None
    secret_key: Annotated[SecretStr, NoDecode, AfterValidator(_secrets)]
    webhook_allow_networks: Annotated[str, NoDecode, AfterValidator(_networks)] = ""
    output_allow_networks: Annotated[str, NoDecode, AfterValidator(_networks)] = ""
    trusted_proxies: Annotated[str, NoDecode, AfterValidator(_networks)] = ""
    unpriced_models: Literal["refuse", "pass"] = "refuse"
    default_price: Annotated[str, AfterValidator(_credits)] = "0.100000"
    result_bytes_max: Annotated[int, Field(ge=1024, le=512 * 1024 * 1024)] = 32 * 1024 * 1024
    unknown_max_seconds: Annotated[float, Field(gt=0, le=UNKNOWN_SECONDS_MAX)] = 3600
    history_settle_seconds: Annotated[float, Field(ge=0, le=86_400)] = 600
    lease_seconds: Annotated[float, Field(ge=1, le=300)] = 15
    sweep_seconds: Annotated[float, Field(gt=0, le=60)] = 1
    grace_seconds: Annotated[float, Field(ge=0, le=600)] = 25
    shutdown_delay_seconds: Annotated[float, Field(ge=0, le=600)] = 0
    log_format: LogFormat = "console"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def webhook_networks(self) -> tuple[Network, ...]:
        """The private networks that webhooks may reach."""
        return split_networks(self.webhook_allow_networks)

    @property
    def proxy_networks(self) -> tuple[Network, ...]:
        """The networks of proxies whose X-Forwarded-For is believed."""
        return split_networks(self.trusted_proxies)

    @property
    def output_networks(self) -> tuple[Network, ...]:
        """The private networks that fetches of outputs may reach."""
        return split_networks(self.output_allow_networks)

    @property
    def history_url(self) -> str:
        """The URL of the upstream's history. Empty: there is no history."""
        return find_history_url(self.upstream_url, self.upstream_history_url)

    @property
    def default_price_micro(self) -> int:
        """The price of a job of a model without a price, in micro-credits."""
        return parse_credits(self.default_price)

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """The secret keys. The first one encrypts."""
        return split_secrets(self.secret_key.get_secret_value())

    @property
    def own_secrets(self) -> list[str]:
        """All secrets in the settings: keys, and the passwords of URLs."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return [secret for value in values for secret in _secrets_in(value)]


def _secrets_in(value: object) -> list[str]:
    if isinstance(value, SecretStr):
        return secrets_of_list(value.get_secret_value())
    return secrets_of_url(value) if isinstance(value, str) else []


def load_settings(**given: object) -> Settings:
    """Read settings from the environment and its files. `given` takes precedence. Raises SettingsError with one line."""
    files = {field for field in Settings.model_fields if field not in given and find_file(field.upper())}
    try:
        return Settings(**given, **{field: find_setting(field.upper()) for field in files})  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError("; ".join(_sentence(fault, files) for fault in error.errors())) from None


def _sentence(fault: "ErrorDetails", files: Set[str]) -> str:
    """Return the setting's name and what is expected, never the given value. `files`: fields that were read from files."""
    field = str(fault["loc"][0])
    name = named(field.upper()) if field in files else PREFIX + field.upper()
    if fault["type"] == "missing":
        return f"{name}: is required"
    if fault["type"] == "value_error":
        return f"{name}: {fault['msg'].removeprefix('Value error, ')}"
    return f"{name}: expected {EXPECTED[field]}"


def start() -> Settings:
    """Start a process: read its settings, set up its log, and warn about unknown settings."""
    settings = load_settings()
    know(settings.own_secrets)
    configure_logging(format=settings.log_format, level=settings.log_level)
    for name in unknown_settings():
        get_logger(__name__).warning("setting.unknown", setting=name)
    # imported modules stay, and a full collection would block the loop for about 50 ms to examine them
    gc.collect()
    gc.freeze()
    return settings


def unknown_settings() -> list[str]:
    """Return names in the environment with our prefix that are no setting, so probably misspelt."""
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    known = (
        settings
        | {name + FILE_SUFFIX for name in settings}
        | {
            "WAYSTATION_TEST_DATABASE_URL",
            "WAYSTATION_TEST_REDIS_URL",
            "WAYSTATION_TEST_CRASH_PLAN",
        }
    )
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
