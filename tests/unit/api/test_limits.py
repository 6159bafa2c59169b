"""By which names a gateway may be called, and from where."""

import msgspec
import pytest

from bywire.api.limits import allowed_hosts, allowed_origins, check_exposure, without_port
from bywire.model.errors import ConfigError
from bywire.model.gateway import GatewayConfig, Listen


def settings(host="127.0.0.1", port=8750, **more):
    return GatewayConfig(listen=Listen(host=host, port=port), **more)


@pytest.mark.parametrize(
    ("host", "name"),
    [(b"a", b"a"), (b"a:1", b"a"), (b"[::1]", b"[::1]"), (b"[::1]:80", b"[::1]"), (b"", b""), (b"[", b"")],
)
def test_a_host_without_its_port(host, name):
    assert without_port(host) == name


def test_loopback_is_called_by_its_own_names_alone():
    assert allowed_hosts(settings()) == {"localhost", "127.0.0.1", "[::1]"}


def test_an_address_of_the_network_is_not_called_localhost():
    exposed = settings("192.0.2.1", public_url="https://bywire.example:8443", hosts=("bywire.internal",))
    assert allowed_hosts(exposed) == {"192.0.2.1", "bywire.example:8443", "bywire.internal"}


def test_every_address_includes_loopback():
    assert "localhost" in allowed_hosts(settings("0.0.0.0", public_url="https://bywire.example"))


def test_our_pages_are_those_of_our_url():
    assert allowed_origins(settings("192.0.2.1", public_url="https://bywire.example/gate")) == {
        "https://bywire.example"
    }
    assert allowed_origins(settings(port=1)) == {"http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_may_be_served_in_the_clear(host):
    check_exposure(settings(host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "bywire.example"])
def test_a_network_may_not(host):
    for url in ("", "http://bywire.example"):
        with pytest.raises(ConfigError) as refused:
            check_exposure(settings(host, public_url=url))
        assert refused.value.code == "listen_exposed"
    check_exposure(msgspec.structs.replace(settings(host), public_url="https://bywire.example"))
