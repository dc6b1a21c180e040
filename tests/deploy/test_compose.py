"""compose.yaml and what belongs to it: as far as that can be shown without an engine, by running each part."""

import os
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import redis
import yaml  # amqtt brings it

from geo_service.delivery.mqtt_publisher import MqttPublisher, Outgoing
from geo_service.embedded.servers import find_mosquitto, find_redis
from geo_service.settings import Settings
from geo_service.storage.connection import connect
from geo_service.storage.worker_counts import WorkerCounts

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def _docker_compose():
    if shutil.which("docker") is None:
        return "no docker client is installed"
    found = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return None if found.returncode == 0 else "this docker client has no compose"


def test_docker_compose_takes_the_file():
    reason = _docker_compose()
    if reason is not None:
        pytest.skip(reason)
    answer = subprocess.run(
        ["docker", "compose", "-f", ROOT / "compose.yaml", "config", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_started_again_is_watched_and_listens_on_this_machine_only(name):
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"]
    for port in service.get("ports", []):
        assert ":-127.0.0.1:" in port
    for volume in service.get("volumes", []):
        source = volume.partition(":")[0]
        assert source in COMPOSE["volumes"] or source.startswith(("./", "${GEO_SITE"))
    for other in service.get("depends_on", {}):
        assert other in SERVICES


def test_worker_and_api_get_settings_that_exist():
    names = {f"GEO_{name.upper()}" for name in Settings.__struct_fields__}
    for name in ("worker", "api"):
        assert set(SERVICES[name]["environment"]) <= names
        assert SERVICES[name]["command"] == [name]


def test_the_image_holds_every_package_and_pins_its_dependencies():
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    taken = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().split()
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
        "packages"
    ]
    copied = [word for line in dockerfile.splitlines() if line.startswith("COPY ") for word in line.split()[1:-1]]
    for package in packages:
        assert package in copied
    for source in copied:
        assert (ROOT / source).exists()
        assert f"!{source}" in taken
    assert "PIP_CONSTRAINT=/source/constraints.txt" in dockerfile


def test_the_store_runs_with_the_command_that_stands_there(tmp_path):
    binary, _ = find_redis()
    path = tmp_path / "s"
    command = SERVICES["store"]["command"]
    assert command[0] == "redis-server"
    argv = [binary, *command[1:], "--port", "0", "--unixsocket", path, "--dir", tmp_path]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as server:
        try:
            _await(path.exists)
            with redis.Redis(unix_socket_path=str(path)) as store:
                _await(store.ping)
                assert store.config_get("append*")["appendonly"] == "yes"
                assert store.config_get("append*")["appendfsync"] == "always"
                assert store.config_get("save") == {"save": ""}
                assert store.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        finally:
            server.terminate()


def test_the_broker_takes_its_configuration_and_answers_its_health_check(tmp_path):
    if find_mosquitto() is None or shutil.which("mosquitto_sub") is None:
        pytest.skip("no mosquitto and mosquitto_sub are installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    lines = (ROOT / "deploy" / "mosquitto.conf").read_text()
    assert lines.count("listener 1883\n") == lines.count("/mosquitto/data/\n") == 1
    lines = lines.replace("listener 1883\n", f"listener {port} 127.0.0.1\n").replace("/mosquitto/data/", f"{tmp_path}/")
    configuration = tmp_path / "mosquitto.conf"
    configuration.write_text(f"user root\n{lines}")
    with subprocess.Popen([find_mosquitto(), "-c", configuration], stdout=subprocess.PIPE, text=True) as server:
        try:
            _await(lambda: _listens(port))
            publisher = MqttPublisher(f"mqtt://127.0.0.1:{port}", "test")
            publisher.publish([Outgoing("t", b"x")])
            publisher.close()
            test = [word.replace("$$", "$") for word in SERVICES["broker"]["healthcheck"]["test"][1:]]
            assert test[0] == "mosquitto_sub"
            subprocess.run([*test, "-p", str(port)], check=True, timeout=10, capture_output=True)
        finally:
            server.terminate()
        assert "Error" not in server.stdout.read()


def test_the_worker_is_healthy_while_it_tells_its_counters(redis_url):
    kind, python, *code = SERVICES["worker"]["healthcheck"]["test"]
    assert (kind, python, code[0]) == ("CMD", "python", "-c")
    check = [sys.executable, *code]
    environment = os.environ | {"GEO_REDIS": redis_url}
    store = connect(redis_url)
    store.delete(*store.keys("*worker*") or ["none"])
    assert subprocess.run(check, env=environment, check=False).returncode == 1
    WorkerCounts(store).tell({"pings": 1})
    assert subprocess.run(check, env=environment, check=False).returncode == 0
    store.close()


def _listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _await(question, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.02)
