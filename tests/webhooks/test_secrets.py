"""Secrets at rest, and their rotation."""

from uuid import uuid4

import pytest

from app.webhooks.operations import reencrypt_secrets
from app.webhooks.queries import list_secrets
from app.webhooks.secrets import SecretUnreadable, Vault, new_secret
from tests.factories.callers import SECRET, Caller
from tests.factories.hooks import Hooks

OLD, NEW = SECRET, b"n" * 32


def test_what_is_sealed_opens_under_any_key_but_in_its_own_row_alone() -> None:
    row_id, secret = uuid4(), new_secret()
    sealed = Vault([OLD]).seal(row_id, secret)
    assert secret not in sealed
    assert Vault([NEW, OLD]).open(row_id, sealed) == secret
    assert not Vault([NEW, OLD]).is_current(sealed)
    for vault, row in ((Vault([NEW]), row_id), (Vault([OLD]), uuid4())):
        with pytest.raises(SecretUnreadable):
            vault.open(row, sealed)
    for place in range(len(sealed)):
        if place:
            forged = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
            with pytest.raises(SecretUnreadable):
                Vault([OLD]).open(row_id, forged)


async def test_reencrypt_moves_all_secrets_under_the_first_key(hooks: Hooks, caller: Caller) -> None:
    endpoint_id, secret = await hooks.endpoint(caller, "https://example.com/")
    own = await hooks.tenant_secret(caller)
    async with hooks.database.transaction() as session:
        assert await reencrypt_secrets(session, vault=Vault([NEW, OLD])) == (2, 2)
    async with hooks.database.transaction() as session:
        assert await reencrypt_secrets(session, vault=Vault([NEW])) == (2, 0)
        found = await list_secrets(session, owners=[(caller.tenant.id, endpoint_id), (caller.tenant.id, None)])
    from app.webhooks.signing import show_secret

    opened = [show_secret(Vault([NEW]).open(*rows[0])) for rows in found.values()]
    assert sorted(opened) == sorted([secret, own])


async def test_reencrypt_without_the_old_key_changes_nothing(hooks: Hooks, caller: Caller) -> None:
    await hooks.endpoint(caller, "https://example.com/")
    with pytest.raises(SecretUnreadable):
        async with hooks.database.transaction() as session:
            await reencrypt_secrets(session, vault=Vault([NEW]))
    async with hooks.database.transaction() as session:
        assert await reencrypt_secrets(session, vault=Vault([OLD])) == (1, 0)
