"""Passwords and TLS, against a mosquitto that asks for them."""

import socket
import subprocess
import time

import pytest

from geo_service.delivery.mqtt_reader import MqttReader
from geo_service.embedded.servers import find_mosquitto
from geo_service.errors import UnreachableError

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="no mosquitto is installed")


def test_a_password_is_used_and_a_wrong_one_is_named(tmp_path, name, inbox, read, publish, options, plain):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "me", "p@ss/word"], check=True)
    passwords.chmod(0o644)
    configuration = tmp_path / "mosquitto.conf"
    configuration.write_text(
        f"listener {port} 127.0.0.1\nuser root\nallow_anonymous false\npassword_file {passwords}\n"
    )
    with subprocess.Popen([find_mosquitto(), "-c", configuration], stderr=subprocess.DEVNULL) as server:
        try:
            _await_port(port)
            reader = read(f"mqtt://me:p%40ss%2Fword@127.0.0.1:{port}", **options(plain=plain))
            assert reader.connected
            wrong = MqttReader(f"mqtt://me:wrong@127.0.0.1:{port}", **options(plain=plain, client_id=f"{name}-2"))
            with pytest.raises(UnreachableError, match=r"(?i)not authori[sz]ed"):
                wrong.start()
            reader.stop()
        finally:
            server.terminate()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves a refused socket open
def test_mqtts_reads_over_tls_and_refuses_a_stranger(tmp_path, name, inbox, read, publish, options, plain):
    certificate, key = _certificate(tmp_path)
    with socket.socket() as free, socket.socket() as free_too:
        free.bind(("127.0.0.1", 0))
        free_too.bind(("127.0.0.1", 0))
        port, open_port = free.getsockname()[1], free_too.getsockname()[1]
    configuration = tmp_path / "mosquitto.conf"
    configuration.write_text(
        f"per_listener_settings false\nallow_anonymous true\nuser root\nlistener {open_port} 127.0.0.1\n"
        f"listener {port} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\n"
    )
    with subprocess.Popen([find_mosquitto(), "-c", configuration], stderr=subprocess.DEVNULL) as server:
        try:
            _await_port(port)
            reader = read(f"mqtts://localhost:{port}?ca={certificate}", **options(plain=plain))
            sent = [b"%d" % number + b"x" * 2000 for number in range(200)]
            publish(f"mqtt://127.0.0.1:{open_port}", *[(f"{name}/x", payload) for payload in sent])
            inbox.expect(200)
            assert inbox.payloads == sent
            stranger = MqttReader(f"mqtts://localhost:{port}", **options(plain=plain, client_id=f"{name}-2"))
            with pytest.raises(UnreachableError, match=r"(?i)certificate"):
                stranger.start()
            reader.stop()
        finally:
            server.terminate()


def _await_port(port):
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return


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
