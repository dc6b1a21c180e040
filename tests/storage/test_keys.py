"""Every key of Redis is declared in one place, and `docs/storage.md` says the same."""

import ast
import re
from pathlib import Path

import pytest

from geo_service.storage.keys import KEYS, Keys

ROOT = Path(__file__).resolve().parents[2]
KEY_METHODS = re.compile(
    r"^(x|h|z|l|r|s|p)?(add|get|set|del|delete|read|trim|range|revrange|push|pop|incr|expire|pexpire|watch|unlink|mget"
    r"|getall|vals|setnx|getex|rem|exists|len|scan|scan_iter|rangebylex|rangebyscore|remrangebyrank|card|score|incrby)$"
)


def sources():
    return [
        path
        for package in ("geo_service", "occupancy", "sensors")
        for path in (ROOT / package).rglob("*.py")
        if path != ROOT / "geo_service/storage/keys.py"
    ]


def texts(tree):
    """String constants that are no docstrings, those inside f-strings too."""
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node


TAGS = sorted({match[0] for key in KEYS for match in re.finditer(r"\{[a-z]+", key.pattern)})
TAILS = sorted({tail for key in KEYS if len(tail := re.sub(r"<.*", "", key.pattern[key.pattern.index("}") :])) > 2})


def test_no_other_file_builds_keys():
    parts = re.compile("|".join([*(re.escape(tag) + r"\d*\}" for tag in TAGS), *(re.escape(tail) for tail in TAILS)]))
    for path in sources():
        text = path.read_text()
        for node in texts(ast.parse(text)) if parts.search(text) else ():
            assert not parts.search(node.value), f"{path.name}:{node.lineno}: {node.value!r}"


@pytest.mark.parametrize("path", sorted((ROOT / "geo_service/storage").glob("*.py")), ids=lambda path: path.name)
def test_no_command_is_given_a_key_that_was_written_by_hand(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func.value) in {"pipe", "self._client", "client", "source"}
            and KEY_METHODS.match(node.func.attr)
            and node.args
        ):
            assert not isinstance(node.args[0], ast.Constant | ast.JoinedStr | ast.BinOp), f"line {node.lineno}"


def test_only_storage_talks_to_redis():
    importing = re.compile(r"^\s*(?:import|from)\s+redis\b", re.MULTILINE)
    found = {path.parent for path in sources() if importing.search(path.read_text())}
    assert found == {ROOT / "geo_service/storage", ROOT / "geo_service/storage/scripts"}


def test_names_and_patterns_are_used_once():
    assert len({key.name for key in KEYS}) == len({key.pattern for key in KEYS}) == len(KEYS)


@pytest.mark.parametrize("declaration", KEYS, ids=lambda key: key.name)
def test_a_key_is_found_to_be_what_it_was_made_as(declaration):
    keys = Keys("p:")
    parts = dict.fromkeys(re.findall(r"<(\w+)>", declaration.pattern), "17")
    made = keys(declaration.name, **parts)
    assert made.startswith("p:")
    assert [key for key in KEYS if Keys("p:").declared(made) == key] == [declaration]


def test_keys_of_a_partition_share_a_hash_tag():
    keys = Keys()
    tags = {
        re.search(r"\{.*?\}", keys(key.name, **dict.fromkeys(re.findall(r"<(\w+)>", key.pattern), 3)))[0]
        for key in KEYS
        if "<partition>" in key.pattern
    }
    assert tags == {"{p3}"}
    assert {re.search(r"\{.*?\}", key.pattern)[0] for key in KEYS if key.name.startswith("ledger")} == {"{ledger}"}


def test_a_key_of_somebody_else_is_not_ours():
    keys = Keys("geo:")
    assert keys.declared("other:{p1}:log") is None
    assert keys.declared("geo:{p1}:logs") is None
    assert keys.declared("geo:{pone}:log") is None


def test_a_key_without_its_parts_is_an_error():
    with pytest.raises(KeyError):
        Keys()("log")
    with pytest.raises(KeyError):
        Keys()("unheard")


def test_the_documentation_lists_every_key_as_declared():
    page = (ROOT / "docs/storage.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `{")]
    assert rows == [
        f"| `{key.pattern}` | {key.kind} | {key.holds} | {'yes' if key.personal else ''} | {key.lives} |"
        for key in KEYS
    ]
