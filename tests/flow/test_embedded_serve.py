"""`geo-service serve` without a server's URL: it starts what it needs, and nothing of it outlives it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from geo_service.catalogue.site import write_site

PARTS = ("worker", "api", "redis", "mosquitto")


def processes(folder):
    """Command lines that name this folder, of processes that run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(folder) in line and state != "Z" and int(entry.name) != os.getpid():
            found.append(line)
    return found


@pytest.fixture
def serving(tmp_path, town_of, until):
    """`geo-service serve` in a process of its own, ready; what is left of it is killed."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("looks processes up in /proc")
    write_site(town_of("e").site, tmp_path / "site")
    argv = ["serve", "--data", str(tmp_path / "data"), "--site", str(tmp_path / "site"), "--port", "0"]
    log = tmp_path / "serve.log"
    with log.open("wb") as output:
        parent = subprocess.Popen(
            [sys.executable, "-m", "geo_service", *argv], stderr=output, stdout=output, start_new_session=True
        )
    try:
        until(lambda: "dashboard and API: " in log.read_text() or parent.poll() is not None)
        assert parent.poll() is None, log.read_text()
        parent.url = log.read_text().partition("dashboard and API: ")[2].split()[0]
        parent.log, parent.folder = log, tmp_path
        yield parent
    finally:
        parent.kill()
        parent.wait()


def test_serve_starts_with_no_url_and_ends_within_seconds_of_ctrl_c(serving, until):
    assert httpx.get(serving.url + "healthz", timeout=10).status_code == 200
    until(lambda: httpx.get(serving.url + "readyz", timeout=10).status_code == 200)
    running = processes(serving.folder)
    assert len(running) >= len(PARTS) + 1, running
    with httpx.stream("GET", serving.url + "v1/stream", timeout=10):  # a page that stays open does not hold it up
        serving.send_signal(signal.SIGINT)
        assert serving.wait(20) == 0, serving.log.read_text()
    assert processes(serving.folder) == []
    assert "Traceback" not in serving.log.read_text()


def test_nothing_is_left_when_serve_is_killed(serving, until):
    serving.kill()
    serving.wait()
    until(lambda: not processes(serving.folder))


def test_serve_ends_with_a_clear_line_when_its_worker_dies(serving, until):
    (worker,) = [
        int(entry.name)
        for entry in Path("/proc").glob("[0-9]*")
        if b"geo_service\0worker\0" in _cmdline(entry) and str(serving.folder).encode() in _cmdline(entry)
    ]
    os.kill(worker, signal.SIGKILL)
    assert serving.wait(30) == 1
    assert "geo-service: the worker ended with code -9" in serving.log.read_text()
    until(lambda: not processes(serving.folder))


def _cmdline(entry):
    try:
        return (entry / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
