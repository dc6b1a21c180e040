"""What the documents say is run, or compared with what it describes."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from geo_service.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
DOCS = sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md"))


def shell_blocks(text: str) -> list[str]:
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """`geo-service serve` as the README starts it, on a free port; what it prints gives the URLs."""
    folder = tmp_path_factory.mktemp("served")
    log = folder / "serve.log"
    tools = folder / "bin"
    tools.mkdir()
    script = tools / "geo-service"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m geo_service "$@"\n')
    script.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "GEO_PORT": "0",
        "GEO_DATA": str(folder / "data"),
    }
    block = shell_blocks(README)[0]
    assert block == "geo-service serve --site fixtures/town\n"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["sh", "-c", f"exec {block}"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        for _ in range(600):
            said = log.read_text()
            if "a login for it" in said:
                break
            assert process.poll() is None, said
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
        found = {
            "REDIS": re.search(r"--redis (\S+)", said)[1],
            "MQTT_PORT": re.search(r"on port (\d+)", said)[1],
            "PORT": re.search(r"http://127.0.0.1:(\d+)/", said)[1],
        }
        yield environment | found
    finally:
        process.terminate()
        process.wait(20)


def run(block: str, environment: dict[str, str], cwd: Path = ROOT) -> str:
    block = block.replace("localhost:8080", f"127.0.0.1:{environment['PORT']}")
    done = subprocess.run(
        ["bash", "-c", block], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode in (0, 28), done.stderr  # 28: the event stream ran until curl's time was up
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on the PATH")
def test_the_readmes_first_ping_is_accepted_and_crosses(served):
    blocks = shell_blocks(README)
    ping, stream, bad = blocks[1:4]
    done = run(f"{ping}\necho\necho $KEY", served)
    answer, key = done.strip().splitlines()
    assert json.loads(answer) == {"accepted": 1, "rejected": []}
    assert f"answers `{answer}`" in README
    served["KEY"] = key
    for _ in range(5):
        events = run(stream, served)
        if '"device":"my-phone"' in events:
            break
    assert "event: crossing\n" in events
    assert '"kind":"crossing"' in events
    assert '"fence":"emberoat.near","store":"emberoat","role":"near"' in events
    problem = json.loads(run(bad, served))
    assert problem["errors"][0]["field"] == "lat"


@pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="no mosquitto_pub on the PATH")
def test_the_readmes_mqtt_messages_change_the_store(served):
    run(shell_blocks(README)[4], served)
    key = run('geo-service keys create secret --redis "$REDIS"', served).strip()
    url = f"http://127.0.0.1:{served['PORT']}/v1/stores/emberoat/occupancy"
    for _ in range(50):
        said = json.loads(run(f"sleep 0.1; curl -s {url} -H 'Authorization: Bearer {key}'", served))
        if said["store"] and said["store"]["in_total"] == 2:
            break
    assert said["store"]["in_total"] == 2


def test_the_readmes_replay_ends_in_an_output(served, tmp_path):
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    assert "kind" in json.loads(run(shell_blocks(README)[5], served, tmp_path).splitlines()[-1])


def test_settings_are_documented_as_they_are():
    table = re.search(
        r"<!-- settings -->\n(.*?)<!-- /settings -->", (ROOT / "docs/operating.md").read_text(), re.DOTALL
    )
    rows = dict(re.findall(r"\| `GEO_(\w+)` \| `?([^`|]*?)`? \|", table[1]))
    assert {name.lower() for name in rows} == set(Settings.__struct_fields__)
    for name, default in msgspec.to_builtins(Settings(), builtin_types=(), enc_hook=str).items():
        assert rows[name.upper()] == ("" if default is None else str(default))


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(path):
    links = re.findall(r"\]\(([^)#]+)", path.read_text())
    broken = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert broken == []
