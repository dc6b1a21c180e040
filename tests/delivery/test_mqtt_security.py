"""Passwords and TLS, against a mosquitto that asks for them."""

import subprocess

import pytest

from geo_service.delivery.mqtt_publisher import MqttPublisher, Outgoing
from geo_service.delivery.mqtt_reader import MqttReader
from geo_service.errors import InvalidInputError, UnreachableError


def test_a_password_is_used_and_a_wrong_one_is_named(mosquitto, tmp_path, name, read, options, plain):
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "me", "p@ss/word"], check=True)
    with mosquitto("allow_anonymous false", f"password_file {passwords}") as port:
        reader = read(f"mqtt://me:p%40ss%2Fword@127.0.0.1:{port}", **options(plain=plain))
        assert reader.connected
        reader.stop()
        wrong = f"mqtt://me:wrong@127.0.0.1:{port}"
        with pytest.raises(UnreachableError, match=r"(?i)not authori[sz]ed"):
            MqttReader(wrong, **options(plain=plain)).start()
        publisher = MqttPublisher(wrong, f"{name}-publisher", patience_s=0.1)
        with pytest.raises(UnreachableError, match=r"(?i)not authori[sz]ed"):
            publisher.publish([Outgoing("x", b"x")])
        publisher.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves a refused socket open
def test_mqtts_reads_and_publishes_over_tls_and_refuses_a_stranger(
    mosquitto, tmp_path, name, inbox, read, options, plain
):
    certificate, key = _certificate(tmp_path)
    lines = ["allow_anonymous true", "max_queued_messages 0", f"certfile {certificate}", f"keyfile {key}"]
    with mosquitto(*lines) as port:
        trusted = f"mqtts://localhost:{port}?ca={certificate}"
        reader = read(trusted, **options(plain=plain))
        sent = [b"%d" % number + b"x" * 2000 for number in range(1500)]
        publisher = MqttPublisher(trusted, f"{name}-publisher")
        publisher.publish([Outgoing(f"{name}/x", payload) for payload in sent])
        publisher.close()
        inbox.expect(1500)
        assert inbox.payloads == sent
        reader.stop()
        stranger = MqttReader(f"mqtts://localhost:{port}", **options(plain=plain))
        with pytest.raises(UnreachableError, match=r"(?i)certificate"):
            stranger.start()


def test_certificates_that_are_not_there_are_named(options, tmp_path):
    reader = MqttReader(f"mqtts://localhost:1?ca={tmp_path}/none.pem", **options())
    with pytest.raises(InvalidInputError, match=r"cannot use the certificates in .*none\.pem"):
        reader.start()


def _certificate(folder):
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key
