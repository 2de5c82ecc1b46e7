import pytest

from app.net import host_names_this_machine, is_forwarding


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8080", "LOCALHOST:1", "127.0.0.1", "127.0.0.2:8080", "[::1]:8080"],
)
def test_hosts_of_this_machine(host: str) -> None:
    assert host_names_this_machine(host)


@pytest.mark.parametrize(
    "host",
    [
        *("evil@127.0.0.1", "x:y@localhost:8080", "127.0.0.1/evil.example", "127.0.0.1?x", ""),
        *("localhost.evil", "localhost#evil", "127.0.0.1.evil.example", "localhost:80:80", "::1"),
        *("localhost:", "localhost:x", "127.0.0.1, evil", "local host", "127.0.0.1 evil", "[::1"),
        *("[::1]evil", "[evil]", "[127.0.0.1].evil", "0.0.0.0", "localhost\\evil", "localhost%00"),
        *("127.1", "2130706433", "0x7f000001", "localhost.", "http://localhost", "loc\u0430lhost"),
    ],
)
def test_hosts_that_only_look_like_it(host: str) -> None:
    assert not host_names_this_machine(host)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "forwarded",
            "via",
            "x-forwarded-for",
            "x_forwarded_for",
            "x-forwarded-host",
            "x-real-ip",
        ),
        *("x-forwarded", "x-client-ip", "fly-client-ip", "cf-connecting-ip", "true-client-ip"),
        *("x-cluster-client-ip", "x-original-url", "x-original-forwarded-for", "x-remote-addr"),
        *("x-azure-clientip", "x-appengine-user-ip", "x-envoy-external-address"),
    ],
)
def test_headers_of_proxies(name: str) -> None:
    assert is_forwarding(name.encode())


@pytest.mark.parametrize("name", ["user-agent", "host", "x-request-id", "origin", "authorization"])
def test_headers_of_clients(name: str) -> None:
    assert not is_forwarding(name.encode())
