import pytest

from app.net import client_network, is_in, is_loopback, is_private, is_public, local_url
from app.settings import Settings

LOCAL = ("127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1")
PRIVATE = ("10.0.0.1", "172.31.255.254", "192.168.1.1", "fdaa:0:1::3", "::ffff:10.0.0.1")
PUBLIC = ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8")
NEITHER = (
    *("0.0.0.0", "169.254.169.254", "100.64.0.1", "203.0.113.7", "224.0.0.1", "::", "fe80::1%eth0"),
    *("64:ff9b::a00:1", "2002:a00:1::", "2001:0:a00:1::", "", "localhost.evil", "127.1", "0x7f.1"),
)


@pytest.mark.parametrize("address", [*LOCAL, *PRIVATE, *PUBLIC, *NEITHER])
def test_each_address_is_of_one_kind(address: str) -> None:
    assert is_loopback(address) is (address in LOCAL)
    assert is_private(address) is (address in LOCAL + PRIVATE)
    assert is_public(address) is (address in PUBLIC)


def test_a_name_is_this_machine_s_only_where_it_is_localhost() -> None:
    assert is_loopback("localhost")
    assert is_loopback("LocalHost")
    for name in ("localhost.", "localhost.localdomain", "evil-localhost", "example.org", " "):
        assert not is_loopback(name)


def test_networks_hold_addresses_however_they_are_written() -> None:
    trusted = Settings(_env_file=None, trusted_proxies="172.16.0.0/12, fdaa::/16").trusted_networks
    for address in ("172.16.3.9", "::ffff:172.16.3.9", "fdaa:0:1::3"):
        assert is_in(address, trusted)
    for address in ("203.0.113.7", "fdab::1", "172.16.3.9, 203.0.113.7", "172.16.3.9:80", ""):
        assert not is_in(address, trusted)


def test_a_client_has_all_addresses_below_its_own() -> None:
    assert client_network("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::/64"
    assert client_network(" 198.51.100.1 ") == "198.51.100.1"
    assert client_network("::ffff:198.51.100.1") == "198.51.100.1"
    assert client_network("no address") is None


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:8080"),
        ("::1", "http://[::1]:8080"),
        ("localhost", "http://localhost:8080"),
    ],
)
def test_a_service_on_all_addresses_is_reached_on_this_machine_s(host: str, url: str) -> None:
    assert local_url(host, 8080) == url
