"""Settings that decide who is let in, and whose word is taken."""

from ipaddress import ip_network

import pytest

from app.core.config.settings import SettingsError, load_settings
from tests.core.test_settings_history import REQUIRED


@pytest.mark.parametrize("key", ["a", "x" * 31, " " * 40 + "a"])
def test_a_short_admin_key_is_named(key: str) -> None:
    with pytest.raises(SettingsError, match="WAYSTATION_ADMIN_KEY: expected at least 32 characters") as error:
        load_settings(**REQUIRED, admin_key=key)
    assert "xxx" not in str(error.value)


@pytest.mark.parametrize("key", [None, "", "x" * 32])
def test_none_or_a_long_one_is_fine(key: str | None) -> None:
    found = load_settings(**REQUIRED, admin_key=key).admin_key
    assert (None if found is None else found.get_secret_value()) == key


def test_trusted_proxies_are_networks() -> None:
    assert load_settings(**REQUIRED).proxy_networks == ()
    found = load_settings(**REQUIRED, trusted_proxies="10.0.0.0/8, fd00::/8,192.0.2.1").proxy_networks
    assert found == tuple(map(ip_network, ("10.0.0.0/8", "fd00::/8", "192.0.2.1/32")))
    for wrong in ("proxy", "10.0.0.1/8", "*", "10.0.0.0/33"):
        with pytest.raises(SettingsError, match=r"WAYSTATION_TRUSTED_PROXIES: expected a comma list of networks"):
            load_settings(**REQUIRED, trusted_proxies=wrong)


def test_how_a_process_stops_is_a_matter_of_seconds() -> None:
    found = load_settings(**REQUIRED)
    assert (found.shutdown_delay_seconds, found.grace_seconds) == (0, 25)
    for wrong in ("-1", "5s", "601", "nan", "inf"):
        with pytest.raises(
            SettingsError, match="WAYSTATION_SHUTDOWN_DELAY_SECONDS: expected seconds from 0 to 600, such"
        ):
            load_settings(**REQUIRED, shutdown_delay_seconds=wrong)
