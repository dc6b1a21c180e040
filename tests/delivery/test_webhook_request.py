"""One request of a webhook: where the connection goes, how long it lasts, and whom it trusts."""

import json
import shutil
import subprocess
import time

import pytest

from geo_service.delivery.webhook_request import Poster, tls
from geo_service.delivery.webhook_targets import read_target

from .webhook_office import Receiver


def test_the_connection_goes_to_the_address_that_was_checked(receiver):
    target = read_target(f"http://hooks.example:{receiver.port}/", allow_private=True)
    poster = Poster(target, allow_private=True, resolve=lambda *_: ["127.0.0.1"])
    assert poster.post(b"{}", {}).status == 204
    assert receiver.came[0][0]["Host"] == f"hooks.example:{receiver.port}"
    poster.close()


def test_an_endpoint_that_never_comes_to_an_end_is_cut_off(receiver):
    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b".")
                time.sleep(0.02)
        except OSError:
            handler.close_connection = True

    receiver.hold = drip
    target = read_target(receiver.url, allow_private=True)
    poster = Poster(target, allow_private=True, whole_s=0.3)
    began = time.monotonic()
    answer = poster.post(b"{}", {})
    assert time.monotonic() - began < 5
    poster.close()
    assert not answer.is_success or answer.status == 200


def test_a_kept_connection_that_the_other_side_closed_is_opened_again(receiver):
    poster = Poster(read_target(receiver.url, allow_private=True), allow_private=True)

    def leave(handler):
        handler.send_response(204)
        handler.end_headers()
        handler.close_connection = True

    receiver.hold = leave
    for _ in range(3):
        assert poster.post(json.dumps({}).encode(), {}).status == 204
        time.sleep(0.05)
    assert len(receiver.came) == 3
    poster.close()


def test_who_does_not_answer_at_all_is_a_failure_with_its_reason(receiver):
    receiver.close()
    poster = Poster(read_target(receiver.url, allow_private=True), allow_private=True)
    answer = poster.post(b"{}", {})
    assert answer.status is None
    assert "ConnectionRefusedError" in answer.reason


@pytest.fixture
def certificate(tmp_path, monkeypatch):
    """A certificate for hooks.example, signed by itself; `trust()` makes it one of the authorities."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on the PATH")
    key, made = tmp_path / "key.pem", tmp_path / "cert.pem"
    what = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=hooks.example"]
    alternative = ["-addext", "subjectAltName=DNS:hooks.example"]
    command = [openssl, "req", "-x509", *what, *alternative, "-keyout", key, "-out", made]
    subprocess.run(command, check=True, capture_output=True)
    tls.cache_clear()

    def trust():
        monkeypatch.setenv("SSL_CERT_FILE", str(made))
        tls.cache_clear()

    yield made, key, trust
    tls.cache_clear()


@pytest.mark.parametrize(
    ("trusted", "host", "arrives"),
    [(True, "hooks.example", True), (True, "other.example", False), (False, "hooks.example", False)],
)
def test_over_tls_the_name_must_be_the_certificates_and_the_authority_known(certificate, trusted, host, arrives):
    made, key, trust = certificate
    if trusted:
        trust()
    receiver = Receiver(certificate=(made, key))
    try:
        target = read_target(f"https://{host}:{receiver.port}/in", allow_private=True)
        poster = Poster(target, allow_private=True, resolve=lambda *_: ["127.0.0.1"])
        answer = poster.post(b"{}", {})
        poster.close()
    finally:
        receiver.close()
    assert answer.is_success == arrives
    assert len(receiver.came) == arrives
    if not arrives:
        assert "CERTIFICATE_VERIFY_FAILED" in answer.reason
