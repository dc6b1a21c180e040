"""Telling and erasing what is kept of a person, place by place."""

import re
import threading

import pytest

from geo_service.flow.entries import Entry, EntryId, Forget, Pings, Recount, Traits
from geo_service.flow.ledger import Claim, MemoryLedger, Reservation
from geo_service.flow.log import Checkpoint, Commit
from geo_service.flow.partition import Partition, Rules
from geo_service.pings.batch import PingBatch
from geo_service.pings.fields import NAN
from geo_service.storage.erasures import Erasures
from geo_service.storage.files import StoreFiles
from geo_service.storage.keys import KEYS, Key, Keys
from geo_service.storage.people import PersonalData
from geo_service.storage.positions import Positions
from geo_service.storage.redis_ledger import RedisLedger
from geo_service.storage.redis_log import RedisLog
from geo_service.storage.retention import LONGEST_MS, PingRetention

PERSON, OTHER = "phone-1", "phone-12"
NOW_MS = 1_772_366_400_000


def pings(*devices, at_ms=NOW_MS):
    return Pings(PingBatch.from_rows([(device, at_ms, 60.17, 24.94, 8.0, NAN, NAN, 0) for device in devices]))


@pytest.fixture
def log(client, keys):
    log = RedisLog.open(client, 2, keys=keys, tail_s=600)
    for partition in range(2):
        log.acquire(partition)
    return log


@pytest.fixture
def data(client, keys):
    return PersonalData(client, 2, keys=keys)


def line(device, n=0):
    return b'{"kind":"crossing","device":"%b","n":%d}' % (device.encode(), n)


# --- outputs ---------------------------------------------------------------------------------------------------------


def test_outputs_are_written_anew_without_a_person_and_everybody_reads_on(log, data, client, keys):
    blobs = [line(OTHER, n) + b"\n" + line(PERSON, n) if n % 3 else line(PERSON, n) for n in range(900)]
    outputs = [(EntryId(1000 + n, 0), blob) for n, blob in enumerate(blobs)]
    log.commit(1, Commit(outputs[:450], {}, None))
    reader = log.reader("mqtt")
    seen = [entry for _, entry, _ in reader.read(200, 0.01)]
    log.commit(1, Commit(outputs[450:], {}, None))
    assert data.erase(PERSON)["outputs"] == 900
    rest = reader.read(10_000, 0.01)
    wanted = [(entry, line(OTHER, entry.ms - 1000)) for entry, _ in outputs if (entry.ms - 1000) % 3]
    assert [(entry, blob) for _, entry, blob in rest] == [each for each in wanted if each[0] > seen[-1]]
    assert data.erase(PERSON) == {}
    assert not client.exists(keys("outputs_rewritten", partition=1))
    # The proof of what was written holds: an entry that is folded again says nothing twice.
    log.commit(1, Commit([outputs[-1], (EntryId(5000, 0), line(OTHER))], {}, None))
    assert [entry for _, entry, _ in reader.read(10, 0.01)] == [(5000, 0)]


def test_a_stream_of_nothing_else_is_empty_and_still_knows_its_last_id(log, data, client, keys):
    log.commit(0, Commit([(EntryId(7, 1), line(PERSON))], {}, None))
    assert data.erase(PERSON) == {"outputs": 1}
    key = keys("outputs", partition=0)
    assert (client.xlen(key), client.xinfo_stream(key)["last-generated-id"]) == (0, b"7-1")
    assert client.ttl(key) == -1


def test_what_is_said_while_outputs_are_written_anew_is_not_lost(log, data):
    stop, said = threading.Event(), []

    def fold():
        n = 0
        while not stop.is_set():
            n += 1
            said.append(EntryId(10_000 + n, 0))
            log.commit(0, Commit([(said[-1], line(OTHER, n))], {}, None))

    log.commit(0, Commit([(EntryId(n, 0), line(PERSON, n)) for n in range(1, 3000)], {}, None))
    folding = threading.Thread(target=fold)
    folding.start()
    try:
        assert data.erase(PERSON)["outputs"] == 2999
    finally:
        stop.set()
        folding.join()
    assert [entry for _, entry, _ in log.reader("mqtt").read(100_000, 0.01)] == said


# --- the ledger ------------------------------------------------------------------------------------------------------


def test_the_ledger_forgets_whose_it_was_and_not_how_much(client, keys, data):
    ledger = RedisLedger(client, keys=keys)
    for device in (PERSON, OTHER):
        claims = [
            Claim(f"cap:bread/{device}:per_device", 1, 3),
            Claim(f"cap:bread:gap/{device}:min_gap_s", 1, 1, forget_after_ms=60_000),
            Claim("cap:bread:total", 1, 10),
        ]
        ledger.reserve([Reservation(f"0-1-0-{len(device)}", claims, 5000)], NOW_MS)
    ledger.commit([f"0-1-0-{len(PERSON)}"], NOW_MS)
    assert data.export(PERSON).keys() >= {"ledger_counters"}
    assert data.erase(PERSON) == {"ledger_counters": 2}
    assert data.export(PERSON) == {}
    counters = ["cap:bread:total", f"cap:bread/{PERSON}:per_device", f"cap:bread/{OTHER}:per_device"]
    assert ledger.total(counters, NOW_MS) == [2, 0, 1]
    # What was only reserved is still given back, and what was committed still can be.
    assert ledger.total(counters, NOW_MS + 6000) == [1, 0, 0]
    assert ledger.release([f"0-1-0-{len(PERSON)}"], NOW_MS + 6000) == [True]
    assert ledger.total(counters, NOW_MS + 6000) == [0, 0, 0]


# --- any key ---------------------------------------------------------------------------------------------------------

MADE_UP = (
    Key("made_map", "{made}:map", "hash", "", True, ""),
    Key("made_thing", "{made}:thing:<id>", "hash", "", True, ""),
    Key("made_of", "{made}:of:<device>", "zset", "", True, ""),
    Key("made_list", "{made}:list", "list", "", True, ""),
    Key("made_set", "{made}:set", "set", "", True, ""),
    Key("made_text", "{made}:text:<id>", "string", "", True, ""),
    Key("made_stream", "{made}:stream", "stream", "", True, ""),
)


@pytest.fixture
def made_up(monkeypatch):
    """Keys that somebody will declare one day."""
    monkeypatch.setattr("geo_service.storage.people.KEYS", (*KEYS, *MADE_UP))


def test_a_key_that_nobody_thought_of_is_walked_like_any_other(made_up, client, keys):
    def fill(device):
        about = b'{"device":"%b"}' % device.encode()
        for name, value in ((device, b"1"), (f"of-{len(device)}", about)):
            client.hset(f"{keys.prefix}{{made}}:map", name, value)
        client.hset(f"{keys.prefix}{{made}}:thing:{len(device)}", mapping={"device": device, "amount": 3})
        client.zadd(f"{keys.prefix}{{made}}:of:{device}", {"anything": 1})
        client.rpush(f"{keys.prefix}{{made}}:list", about)
        client.sadd(f"{keys.prefix}{{made}}:set", device)
        client.set(f"{keys.prefix}{{made}}:text:{len(device)}", about)
        client.xadd(f"{keys.prefix}{{made}}:stream", {"d": about})

    fill(PERSON)
    fill(OTHER)
    data = PersonalData(client, 1, keys=keys)
    names = {key.name for key in MADE_UP}
    told = data.export(PERSON)
    assert told.keys() == names
    assert told["made_thing"] == [{"device": PERSON, "amount": 3}]
    assert told["made_stream"] == [{"d": {"device": PERSON}}]
    assert data.left(PERSON) == sorted(names)
    before = data.export(OTHER)
    assert data.erase(PERSON) == {"made_map": 2} | dict.fromkeys(names - {"made_map"}, 1)
    assert data.left(PERSON) == []
    assert data.export(OTHER) == before
    client.delete(*client.scan_iter(match=f"{keys.prefix}*made*"))


# --- what the fold holds ---------------------------------------------------------------------------------------------


def test_pings_and_state_are_told_as_they_are(log, data, client, keys):
    from geo_service.catalogue.documents import Fence
    from geo_service.catalogue.site import encode_document
    from geo_service.flow.entries import Change, Changes

    now_ms = client.time()[0] * 1000
    fence = Fence(id="f", geometry={"type": "Point", "coordinates": [24.94, 60.17]}, radius_m=100, store="near")
    bodies = [
        Changes([Change("fence", "f", encode_document(fence))]),
        pings(OTHER, PERSON, at_ms=now_ms),
        Traits(PERSON, ["members"]),
    ]
    ids = log.append([(0, body) for body in bodies])
    partition = Partition(0, 1, MemoryLedger(), Rules("steady"))
    for entry_id, body in zip(ids, bodies, strict=True):
        partition.advance(Entry(entry_id, body))
    log.commit(0, Commit([], {}, Checkpoint(EntryId(0, 1), partition.dump())))
    told = data.export(PERSON)
    assert told["log"][0] == {
        "kind": "ping",
        "time_ms": now_ms,
        "lat": 60.17,
        "lon": 24.94,
        "accuracy_m": 8.0,
        "speed_mps": None,
        "heading_deg": None,
    }
    assert told["log"][1]["holds"]["segments"] == ["members"]
    presence = next(each["holds"] for each in told["checkpoint"] if each["part"] == "presence")
    assert (presence["lat"], presence["lon"], presence["accuracy_m"]) == (60.17, 24.94, 8.0)
    assert [each["fence"] for each in presence["fences"]] == ["f"]
    assert data.left(PERSON) == ["checkpoint", "log"]
    partition.advance(Entry(EntryId(now_ms + 60_000, 0), Forget(PERSON)))
    log.commit(0, Commit([], {}, Checkpoint(ids[-1], partition.dump())))
    log.trim(0)
    assert data.left(PERSON) == []
    assert data.export(OTHER)["checkpoint"]


def test_positions_tell_how_far_everything_has_come(log, client, keys):
    positions = Positions(client, 2, keys=keys)
    assert positions.ends() == positions.checkpoints() == {0: (0, 0), 1: (0, 0)}
    (entry,) = log.append([(1, pings(PERSON))])
    assert positions.ends() == {0: (0, 0), 1: entry}
    log.commit(1, Commit([(entry, line(PERSON))], {}, Checkpoint(entry, b"")))
    assert positions.checkpoints() == {0: (0, 0), 1: entry}
    assert not positions.unheard()
    reader = log.reader("mqtt")
    assert positions.unheard()
    reader.done({1: entry})
    assert not positions.unheard()


# --- raw pings -------------------------------------------------------------------------------------------------------


def test_raw_pings_are_gone_after_a_day_though_no_checkpoint_ever_passes_them(log, client, keys):
    """The clock is moved on; the log's own ids say how old an entry is."""
    for _ in range(700):
        log.append([(0, pings(PERSON)), (1, pings(OTHER)), (0, Recount("s", 1))])
    ids = log.append([(0, Forget("x"))])
    retention = PingRetention(client, 2, keys=keys)
    assert retention.expire(ids[0].ms + LONGEST_MS - 60_000) == 0
    assert retention.expire(ids[0].ms + LONGEST_MS + 1) == 1400
    left = log.read({0: EntryId(0, 0), 1: EntryId(0, 0)}, limit=10_000, wait_s=0.01)
    assert {type(entry.body) for entry in left[0]} == {Recount, Forget}
    assert len(left[0]) == 701
    assert 1 not in left


# --- receipts --------------------------------------------------------------------------------------------------------


def test_a_receipt_is_known_to_who_has_it_and_names_nobody_when_all_is_done(client, keys):
    erasures = Erasures(client, lambda: NOW_MS, keys=keys)
    receipt = erasures.request(PERSON)
    assert erasures.is_under_way(PERSON)
    ((name, erasure),) = erasures.pending(10)
    assert (erasure.person, erasure.requested_ms) == (PERSON, NOW_MS)
    assert erasures.find(PERSON, receipt) == erasure
    assert erasures.find(OTHER, receipt) is None
    assert erasures.find(PERSON, "no-receipt") is None
    done = type(erasure)(about=erasure.about, requested_ms=NOW_MS, done_ms=NOW_MS + 5, removed={"outputs": 3})
    erasures.note(name, done)
    assert erasures.pending(10) == []
    assert erasures.find(PERSON, receipt) == done
    kept = client.get(keys("erasure", receipt=name))
    assert PERSON.encode() not in kept
    assert receipt.encode() not in kept


def test_files_are_written_anew(mortal_server):
    from geo_service.storage.connection import connect

    with connect(mortal_server.url) as client:
        client.config_set("aof-use-rdb-preamble", "no")
        client.config_set("save", "3600 1")
        client.set("somebody", "erase-me-7f3a")
        client.delete("somebody")
        client.set("else", "keep-me")
        assert StoreFiles(client).rewrite(threading.Event()) == "append-only file and snapshot written anew"
        folder = mortal_server._folder
        found = {
            word: [p for p in folder.rglob("*") if p.is_file() and word in p.read_bytes()]
            for word in (b"erase-me", b"keep-me")
        }
    assert found[b"erase-me"] == []
    assert found[b"keep-me"]


def test_a_server_that_forbids_it_says_so(client):
    class Managed:
        connection_pool = client.connection_pool

        def info(self, section):
            return {"aof_enabled": 1, "aof_rewrite_in_progress": 0, "aof_rewrite_scheduled": 0}

        def bgrewriteaof(self):
            client.execute_command("NO-SUCH-COMMAND")

    assert "left to the server" in StoreFiles(Managed()).rewrite(threading.Event())


@pytest.mark.parametrize("declaration", KEYS, ids=lambda key: key.name)
def test_keys_are_told_apart_as_their_declarations_say(declaration, data):
    parts = re.findall(r"<(\w+)>", declaration.pattern)
    name = Keys("")(declaration.name, **dict.fromkeys(parts, "17"))
    found, varying = data._declarations.find(name)
    assert found is declaration
    assert varying == ["17"] * sum(part != "partition" for part in parts)
    assert data._declarations.find(f"{name[1:]}") is None
