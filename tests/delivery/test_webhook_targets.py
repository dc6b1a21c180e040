"""Where webhooks may not go."""

import pytest

from geo_service.delivery.webhook_targets import (
    AddressRefusedError,
    check_url,
    checked_addresses,
    is_public,
    read_target,
    resolve,
)
from geo_service.errors import InvalidInputError

PRIVATE = [
    "127.0.0.1",
    "127.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "ff02::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::",
    "2001:0:4136:e378:8000:63bf:f5ff:fffe",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b:1::7f00:1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "fec0::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_of_our_own_network_is_none_of_the_publics(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_a_public_address_is_one(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "https://",
        "https:///path",
        "//example.com",
        "https://user:secret@example.com/",
        "https://example.com/#there",
        "https://example.com:99999/",
        "https://example.com:0/",
        "https://%31%32%37.0.0.1/",
        "https://127.0.0.1%00.example.com/",
        "https://[fe80::1%25eth0]/",
        "https://example.com/a b",
        "https://example.com/\n",
        "http://example.com/",
        "https://" + "a" * 3000,
        "https://[::1",
        "https://a..b/",
        "",
    ],
)
def test_what_is_no_target_is_refused(url):
    with pytest.raises(InvalidInputError) as refused:
        read_target(url, allow_private=False)
    assert refused.value.field == "url"


def test_a_target_is_taken_apart():
    target = read_target("https://hooks.example.com:8443/in?shop=1", allow_private=False)
    assert target == ("https", "hooks.example.com", 8443, "/in?shop=1")
    assert target.host_header == "hooks.example.com:8443"
    assert read_target("https://[2606:4700::1]/", allow_private=False).host_header == "[2606:4700::1]"
    assert read_target("http://localhost", allow_private=True) == ("http", "localhost", 80, "/")


def test_one_private_address_among_public_ones_is_one_too_many():
    target = read_target("https://example.com/", allow_private=False)
    with pytest.raises(AddressRefusedError, match=r"10\.0\.0\.1"):
        checked_addresses(target, allow_private=False, resolve=lambda *_: ["1.1.1.1", "10.0.0.1"])


@pytest.mark.parametrize("url", ["https://localhost/", "https://127.0.0.1/", "https://[::1]/", "https://2130706433/"])
def test_however_the_loopback_is_spelled_it_is_found(url):
    with pytest.raises(InvalidInputError):
        check_url(url, allow_private=False)


def test_a_name_that_cannot_be_looked_up_now_may_be_later():
    def nothing(host, port):
        raise OSError("no such name")

    check_url("https://soon.example/", allow_private=False, resolve=nothing)


def test_the_systems_resolver_is_asked():
    assert "127.0.0.1" in resolve("127.0.0.1", 80)
