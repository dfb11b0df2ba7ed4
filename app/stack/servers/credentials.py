"""The secrets of one stack. They are made at its first start, and kept in DIR/credentials.json (0600)."""

import secrets
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from app.stack.errors import StackError
from app.stack.files import read_json, write_json


def _password() -> str:
    return secrets.token_hex(24)


def _key() -> str:
    return secrets.token_hex(32)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The secrets of a stack. `tenant_key` is None until the demo tenant exists."""

    tenant_key: str | None = field(default=None, repr=False)
    admin_key: str = field(default_factory=_key, repr=False)
    secret_key: str = field(default_factory=_key, repr=False)
    database_password: str = field(default_factory=_password, repr=False)
    redis_password: str = field(default_factory=_password, repr=False)

    def with_tenant_key(self, tenant_key: str) -> "Credentials":
        """Return a copy with this key."""
        return replace(self, tenant_key=tenant_key)


def load_credentials(path: Path) -> Credentials:
    """Return those in the file; write new ones if there is no file. Raises StackError if it is damaged."""
    if not path.exists():
        return save_credentials(path, Credentials())
    found = read_json(path)
    names = {each.name for each in fields(Credentials)}
    if found is None or not all(isinstance(found.get(name), str) for name in names - {"tenant_key"}):
        raise StackError(
            f"{path} is damaged: restore it from a backup; its secrets are needed to decrypt the data in this directory"
        )
    return Credentials(**{name: found[name] for name in names if name in found})


def save_credentials(path: Path, credentials: Credentials) -> Credentials:
    """Write them completely or not at all."""
    write_json(path, asdict(credentials))
    return credentials
