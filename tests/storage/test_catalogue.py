"""The documents of the site: entities and log change together, or neither does."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geo_service.errors import InvalidInputError
from geo_service.flow.entries import START, Change
from geo_service.storage.catalogue import CHANGES_PER_ENTRY, Applied, Catalogue, VersionConflictError
from geo_service.storage.connection import connect
from geo_service.storage.redis_log import RedisLog


def store(key, **fields):
    return Change("store", key, json.dumps({"id": key, "name": key, "lat": 60, "lon": 24.0, **fields}).encode())


@pytest.fixture
def catalogue(client, keys):
    return Catalogue(client, 2, keys=keys)


@pytest.fixture
def told(client, keys):
    """What each partition's log has been told."""
    log = RedisLog(client, 2, keys=keys)

    def told(partition=0):
        entries = log.read({partition: START}, limit=1000, wait_s=0).get(partition, [])
        return [change for entry in entries for change in entry.body.changes]

    return told


def test_a_change_is_in_the_documents_and_in_every_partition_of_the_log(catalogue, told):
    assert catalogue.apply([store("a"), store("b")]) == Applied([1, 1], 2)
    document = catalogue.get("store", "a")
    assert json.loads(document) == {"id": "a", "name": "a", "lat": 60.0, "lon": 24.0}
    assert told(0) == told(1) == [Change("store", key, catalogue.get("store", key)) for key in "ab"]


def test_importing_the_same_again_changes_nothing_and_tells_nobody(catalogue, told):
    catalogue.apply([store("a"), store("b", tags=["x"])])
    other_words = b' {"lon": 24, "lat": 60.0, "id": "b", "name": "b", "tags": ["x"], "unheard": 1}'
    assert catalogue.apply([store("a"), Change("store", "b", other_words)]) == Applied([1, 1], 0)
    assert catalogue.version() == 1
    assert len(told()) == 2


def test_removing_is_told_and_removing_nothing_is_not(catalogue, told):
    catalogue.apply([store("a")])
    assert catalogue.remove("store", "a") is True
    assert catalogue.remove("store", "a") is False
    assert catalogue.get("store", "a") is None
    assert told(1)[1:] == [Change("store", "a", None)]


def test_the_same_document_twice_in_one_change_counts_in_order(catalogue, told):
    first, last = store("a", name="first"), store("a", name="last")
    assert catalogue.apply([first, last, last, Change("store", "b", None)]) == Applied([1, 1, 1, 0], 2)
    assert json.loads(catalogue.get("store", "a"))["name"] == "last"
    assert [json.loads(change.document)["name"] for change in told()] == ["first", "last"]
    assert catalogue.apply([first, Change("store", "a", None)]) == Applied([0, 0], 2)
    assert catalogue.get("store", "a") is None


def test_a_large_import_goes_in_several_entries(catalogue, client, keys):
    changes = [store(f"s{number}") for number in range(2 * CHANGES_PER_ENTRY + 1)]
    assert catalogue.apply(changes).changed == len(changes)
    assert catalogue.version() == 3
    assert client.xlen(keys("log", partition=0)) == client.xlen(keys("log", partition=1)) == 3
    documents = catalogue.load()
    assert documents.version == 3
    assert len(documents.documents) == len(changes)
    assert documents.documents["store", "s0"].version == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (Change("store", "a", b"{"), "store a"),
        (Change("store", "a", b"\xff"), "store a"),
        (Change("store", "a", b"[" * 100_000), "store a"),
        (Change("store", "a", b'{"id": "a", "name": "a", "lat": 91, "lon": 0}'), "store a: lat"),
        (Change("store", "a", store("b").document), "store"),
        (Change("shop", "a", b"{}"), "kind"),
    ],
)
def test_a_document_that_is_none_is_refused_and_nothing_changes(catalogue, told, change, field):
    with pytest.raises(InvalidInputError) as caught:
        catalogue.apply([store("good"), change])
    assert caught.value.field == field
    assert catalogue.version() == 0
    assert told() == []


def test_stock_and_products_are_kept_under_their_own_keys(catalogue):
    catalogue.apply(
        [
            Change("product", "sku:1", b'{"sku": "sku:1", "name": "Coffee"}'),
            Change("stock", "a/sku:1", b'{"store": "a", "sku": "sku:1", "on_hand": 3}'),
        ]
    )
    assert set(catalogue.load().documents) == {("product", "sku:1"), ("stock", "a/sku:1")}


def test_a_change_for_a_version_that_is_no_more_is_a_conflict(catalogue, told):
    catalogue.put("store", "a", store("a").document, expected=0)
    seen = catalogue.find("store", "a").version
    catalogue.put("store", "a", store("a", name="mine").document, expected=seen)
    with pytest.raises(VersionConflictError) as caught:
        catalogue.put("store", "a", store("a", name="theirs").document, expected=seen)
    assert (caught.value.expected, caught.value.found) == (seen, catalogue.find("store", "a").version)
    with pytest.raises(VersionConflictError):
        catalogue.remove("store", "a", expected=seen)
    with pytest.raises(VersionConflictError):
        catalogue.put("store", "a", store("a", name="new").document, expected=0)
    assert json.loads(catalogue.get("store", "a"))["name"] == "mine"
    assert len(told()) == 2


def test_a_version_is_never_used_twice(catalogue):
    catalogue.put("store", "a", store("a").document)
    seen = catalogue.find("store", "a").version
    catalogue.remove("store", "a")
    catalogue.put("store", "a", store("a").document)
    assert catalogue.find("store", "a").version > seen


def test_put_says_whether_the_document_is_new(catalogue):
    assert catalogue.put("store", "a", store("a").document).is_new is True
    assert catalogue.put("store", "a", store("a", name="b").document).is_new is False
    assert catalogue.put("store", "a", store("a", name="b").document).is_new is False


def test_a_put_whose_answer_was_lost_is_done_once_and_is_no_conflict(losing_proxy, client, keys, told):
    with connect(losing_proxy.url, retries=2) as shaky:
        catalogue = Catalogue(shaky, 2, keys=keys)
        losing_proxy.lose_when = b"EXEC"
        catalogue.put("store", "a", store("a").document, expected=0)
    assert losing_proxy.lost == 1
    assert len(told()) == 1
    assert Catalogue(client, 2, keys=keys).version() == 1


def test_many_writers_at_once_lose_nothing(url, catalogue, told, keys):
    def write(writer):
        with connect(url, retries=0) as own:
            for number in range(10):
                Catalogue(own, 2, keys=keys).put("store", f"s{number}", store(f"s{number}", name=f"{writer}").document)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    last = {change.id: change.document for change in told()}
    assert last == {key: stored.document for (_, key), stored in catalogue.load().documents.items()}
    assert catalogue.version() == len(told(1))


def test_what_changed_since_a_version_is_found_with_what_was_removed(catalogue):
    catalogue.apply([store("a"), store("b")])
    catalogue.apply([store("c"), Change("store", "a", None)])
    since = catalogue.since(1)
    assert since.version == 2
    assert set(since.documents) == {("store", "a"), ("store", "c")}
    assert since.documents["store", "a"] is None
    assert catalogue.since(2).documents == {}


def test_pages_come_in_key_order(catalogue):
    catalogue.apply([store(key) for key in ("b", "d", "a", "c")])
    assert [key for key, _ in catalogue.page("store", None, 3)] == ["a", "b", "c"]
    assert [key for key, _ in catalogue.page("store", "c", 3)] == ["d"]
    assert catalogue.page("fence", None, 3) == []


_operations = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from([None, "x", "y"]), st.booleans()), min_size=1, max_size=15
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=_operations)
def test_pages_show_what_others_changed_a_moment_ago(client, keys, operations):
    client.delete(*[keys("catalogue", kind="store"), keys("catalogue_version"), keys("catalogue_changed")])
    mine, theirs = Catalogue(client, 1, keys=keys), Catalogue(client, 1, keys=keys)
    model = {}
    for key, name, is_mine in operations:
        one = mine if is_mine else theirs
        if name is None:
            assert one.remove("store", key) == (model.pop(key, None) is not None)
        else:
            one.put("store", key, store(key, name=name).document)
            model[key] = name
        page = mine.page("store", None, 10)
        assert [(key, json.loads(document)["name"]) for key, document in page] == sorted(model.items())
