"""Rules of the house that a reader can check, checked."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("geo_service", "occupancy", "sensors")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
FORBIDDEN_NAMES = {"utils", "util", "common", "lib", "manager", "helpers", "misc"}


def test_a_file_stays_under_400_lines_and_a_function_under_60():
    long = [str(path.relative_to(ROOT)) for path in [*SOURCES, *TESTS] if len(path.read_text().splitlines()) > 400]
    long += [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= 60
    ]
    assert long == []


def test_nothing_is_called_utils():
    assert [path for path in SOURCES if FORBIDDEN_NAMES & {path.stem, path.parent.name}] == []


def test_every_module_and_public_name_says_what_it_is():
    silent = []
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        if tree.body and path.name != "__init__.py" and ast.get_docstring(tree) is None:
            silent.append(str(path.relative_to(ROOT)))
    assert silent == []


def test_pinned_versions_are_names_and_versions_only():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.]+", line)] == []


@pytest.mark.parametrize("name", ["compose.yaml", "Makefile", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md"])
def test_what_a_newcomer_looks_for_is_there(name):
    assert (ROOT / name).is_file()


def test_help_answers_without_loading_what_it_does_not_need():
    script = (
        "import sys; sys.argv = ['geo-service', '--help']\n"
        "from geo_service.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'shapely', 'h3', 'litestar', 'redis', 'paho'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr.decode()
