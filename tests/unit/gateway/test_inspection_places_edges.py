"""Places at their limits: the spellings of one address, names that only look like one, and readings that differ."""

import pytest

from bywire.gateway.inspection_places import address_of, destinations, paths


def told(text, *, is_host=False):
    return list(destinations(text.encode(), is_host=is_host))


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("255.1", "255.0.0.1"),
        ("256.1", None),
        ("1.16777215", "1.255.255.255"),
        ("1.16777216", None),
        ("1.2.65535", "1.2.255.255"),
        ("1.2.65536", None),
        ("1.2.3.256", None),
        ("4294967295", "255.255.255.255"),
        ("4294967296", None),
        ("0x7f000001", "127.0.0.1"),
        ("0X7F000001", "127.0.0.1"),
        ("0X7f.0x0.1", "127.0.0.1"),
        ("010.1", "8.0.0.1"),
        ("09.1", None),
        ("1.2.3.4.0", None),
        ("0.1.2.3.4", None),
        ("127.0.0.1_0", None),
        ("1_6.1", None),
        (".1", None),
        ("1..2", None),
        ("", None),
        ("::1", "::1"),
        ("example.com", None),
        ("1.example", None),
    ],
)
def test_an_address_is_read_as_careless_programs_read_it(name, address):
    assert address_of(name) == address


def test_without_a_hint_only_the_usual_spelling_is_an_address():
    assert address_of("127.0.0.1", loose=False) == "127.0.0.1"
    assert address_of("127.1", loose=False) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("http://localhost/", [("loopback", True)]),
        ("http://LOCALHOST./", [("loopback", True)]),
        ("http://a.localhost/", [("loopback", True)]),
        ("http://localhost%2f.shop.example/", [("loopback", True)]),
        ("http://Xlocalhost/", []),
        ("http://localhostX/", []),
        ("http://mylocalhost/", []),
        ("http://.1/", []),
        ("http://1.2.3.4.0/", []),
        ("http://127.0.0.1_0/", []),
        ("metadata", []),
        ("http://metadata/", [("metadata_address", True)]),
        ("metadata.google.internal", [("metadata_address", True)]),
        ("connect to 203.0.113.7 now", [("raw_ip", False)]),
        ("connect to 127.0.0.1 now", [("loopback", False)]),
        ("connect to [::1] now", [("loopback", False)]),
        ("connect to 169.254.169.254 now", [("metadata_address", True)]),
        ("version 010.020.030.040 of it", []),
    ],
)
def test_where_a_text_leads(text, found):
    assert told(text) == found


def test_a_text_that_is_longer_than_any_name_is_no_host():
    longest = "x." * 123 + "localhost"
    assert len(longest) == 255
    assert told(longest) == [("loopback", False)]
    assert told(f"{longest} ") == []
    assert told(f"{longest}:443", is_host=True) == [("loopback", True)]


@pytest.mark.parametrize(
    ("text", "certain"),
    [
        ("git@forge.example:team/shop", False),
        ("git@forge.example:team/shop git@other.example:team/shop", False),
        ("git@forge.example:team/shop root@host.example:/srv", True),
        ("root@host.example:/srv", True),
    ],
)
def test_a_forge_may_be_meant_and_any_other_login_is_one(text, certain):
    assert told(text) == [("ssh_destination", certain)]


@pytest.mark.parametrize(
    ("text", "differ"),
    [
        ("shop.example", False),
        ("https://shop.example/a", False),
        ("ssh://git@shop.example/a", False),
        ("git@shop.example", False),
        ("evil.example/://good@shop.example", True),
        ("evil.example/@shop.example", True),
        ("https://evil.example/@shop.example", True),
        ("https:/evil.example", True),
        ("https:///evil.example", True),
        ("/evil.example", True),
        ("shop.example\\x", True),
    ],
)
def test_a_host_of_which_programs_differ_is_ambiguous(text, differ):
    assert (("ambiguous_host", True) in told(text, is_host=True)) is differ


@pytest.mark.parametrize(
    ("text", "is_ssh"),
    [("shop.example", False), ("shop.example:443", False), ("shop.example:22", True), ("ana@shop.example", True)],
)
def test_a_login_or_a_port_of_a_shell_leads_into_one(text, is_ssh):
    assert told(text, is_host=True) == ([("ssh_destination", True)] if is_ssh else [])


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (b"/srv/\xff", ["absolute_path"]),
        (b"\xff/srv", []),
        (b" ~/x", ["absolute_path"]),
        (b"D:\\x", ["absolute_path"]),
        (b"srv/x", []),
    ],
)
def test_a_path_below_a_tools_own_place_has_no_root(text, kinds):
    assert [kind for kind, certain in paths(text, relative=True) if certain] == kinds
    assert list(paths(text, relative=False)) == []
