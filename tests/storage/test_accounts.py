"""Keys, tokens, people and sessions; and that none of their secrets is kept."""

import pytest

from geo_service.errors import InvalidInputError
from geo_service.principals import BY_ROLE, DEVICE, PUBLISHABLE, SECRET, Action
from geo_service.storage import passwords
from geo_service.storage.accounts import LONGEST_SESSION_S, SESSION_S, Accounts
from geo_service.storage.passwords import hash_password, is_password

NOW = 1_700_000_000_000
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _less_work(monkeypatch):
    monkeypatch.setattr(passwords, "_N", 2**10)


class Clock:
    now_ms = NOW

    def __call__(self):
        return self.now_ms


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def accounts(client, keys, clock):
    return Accounts(client, clock, keys=keys)


def test_a_key_is_who_it_was_made_for(accounts):
    key, text = accounts.create_key("secret", actions=[Action.READ], stores=["a"], note="till")
    principal = accounts.identify(text)
    assert text.startswith("sk_")
    assert (principal.kind, principal.id) == ("secret", key.id)
    assert (principal.actions, principal.stores) == ({Action.READ}, {"a"})
    assert accounts.list_keys() == [key]
    assert (key.note, key.created_ms) == ("till", NOW)


def test_without_a_scope_a_key_has_what_its_kind_allows(accounts):
    _, publishable = accounts.create_key("publishable")
    _, secret = accounts.create_key("secret")
    assert publishable.startswith("pk_")
    assert accounts.identify(publishable).actions == PUBLISHABLE
    assert accounts.identify(secret).actions == SECRET
    assert accounts.identify(secret).stores is None


@pytest.mark.parametrize("actions", [[Action.CONFIGURE], [], [Action.REGISTER, Action.PEOPLE]])
def test_a_publishable_key_cannot_have_more_than_its_kind_allows(accounts, actions):
    with pytest.raises(InvalidInputError, match="actions"):
        accounts.create_key("publishable", actions=actions)
    assert accounts.list_keys() == []


def test_a_revoked_key_is_nobody(accounts):
    key, text = accounts.create_key("secret")
    other, other_text = accounts.create_key("secret")
    assert accounts.revoke_key(key.id) is True
    assert accounts.revoke_key(key.id) is False
    assert accounts.identify(text) is None
    assert accounts.identify(other_text).id == other.id


@pytest.mark.parametrize("credential", ["", "sk_", "sk_unknown", "dt_unknown", "x", "\ud800", "sk_\x00"])
def test_what_is_no_credential_is_nobody(accounts, credential):
    accounts.create_key("secret")
    accounts.register("phone")
    assert accounts.identify(credential) is None
    assert accounts.resume(credential) is None


def test_a_devices_token_is_that_device_and_no_more(accounts):
    made = accounts.register("phone-1")
    principal = accounts.identify(made.token)
    assert (made.device, principal.kind, principal.id, principal.actions) == ("phone-1", "device", "phone-1", DEVICE)


def test_a_device_is_registered_once(accounts):
    made = accounts.register("phone-1")
    assert accounts.register("phone-1") is None
    assert accounts.identify(made.token).id == "phone-1"


def test_devices_without_an_id_get_one_each(accounts):
    assert accounts.register(None).device != accounts.register(None).device


def test_a_device_that_is_no_id_is_refused(accounts):
    with pytest.raises(InvalidInputError, match="device"):
        accounts.register("a b")


def test_a_forgotten_device_leaves_nothing_and_may_register_anew(accounts, client, keys):
    made = accounts.register("phone-1")
    assert accounts.forget_device("phone-1") is True
    assert accounts.forget_device("phone-1") is False
    assert accounts.identify(made.token) is None
    assert client.keys(f"{keys.prefix}*") == []
    assert accounts.register("phone-1").token != made.token


def test_a_person_logs_in_and_is_known_by_the_session(accounts):
    accounts.put_person("ann", "manager", PASSWORD, stores=["a", "b"])
    session = accounts.log_in("ann", PASSWORD)
    assert session.lifetime_s == SESSION_S
    for principal in (session.principal, accounts.resume(session.token)):
        assert (principal.kind, principal.id, principal.role) == ("person", "ann", "manager")
        assert (principal.actions, principal.stores) == (BY_ROLE["manager"], {"a", "b"})
    assert accounts.identify(session.token) is None


@pytest.mark.parametrize(("name", "password"), [("ann", "wrong password"), ("bob", PASSWORD), ("", ""), ("ann", "")])
def test_a_wrong_name_or_password_begins_no_session(accounts, client, keys, name, password):
    accounts.put_person("ann", "staff", PASSWORD)
    assert accounts.log_in(name, password) is None
    assert client.keys(keys("session", hash="*")) == []


def test_a_session_ends_at_logout(accounts):
    accounts.put_person("ann", "staff", PASSWORD)
    first, second = accounts.log_in("ann", PASSWORD), accounts.log_in("ann", PASSWORD)
    accounts.log_out(first.token)
    assert accounts.resume(first.token) is None
    assert accounts.resume(second.token) is not None


def test_a_session_lasts_longer_with_use_but_not_for_ever(accounts, client, keys, clock):
    accounts.put_person("ann", "staff", PASSWORD)
    session = accounts.log_in("ann", PASSWORD)
    [key] = client.keys(keys("session", hash="*"))
    client.expire(key, 5)
    assert accounts.resume(session.token) is not None
    assert client.ttl(key) > SESSION_S - 60
    clock.now_ms = NOW + LONGEST_SESSION_S * 1000 - 1
    assert accounts.resume(session.token) is not None
    clock.now_ms += 1
    assert accounts.resume(session.token) is None
    assert not client.exists(key)


def test_sessions_end_with_a_new_password_and_with_the_person(accounts):
    accounts.put_person("ann", "staff", PASSWORD)
    before = accounts.log_in("ann", PASSWORD)
    accounts.put_person("ann", "admin", PASSWORD + "!")
    assert accounts.resume(before.token) is None
    assert accounts.log_in("ann", PASSWORD) is None
    after = accounts.log_in("ann", PASSWORD + "!")
    assert after.principal.role == "admin"
    assert [person.name for person in accounts.list_people()] == ["ann"]
    assert accounts.remove_person("ann") is True
    assert accounts.remove_person("ann") is False
    assert accounts.resume(after.token) is None


@pytest.mark.parametrize(
    ("name", "role", "password", "field"),
    [
        ("a b", "staff", PASSWORD, "name"),
        ("ann", "king", PASSWORD, "role"),
        ("ann", "staff", "short", "password"),
        ("ann", "staff", "x" * 257, "password"),
    ],
)
def test_a_person_that_cannot_be_is_refused(accounts, name, role, password, field):
    with pytest.raises(InvalidInputError) as caught:
        accounts.put_person(name, role, password)
    assert caught.value.field == field
    assert accounts.list_people() == []


def test_no_secret_is_kept(accounts, client, keys):
    _, key = accounts.create_key("secret")
    token = accounts.register("phone").token
    accounts.put_person("ann", "staff", PASSWORD)
    session = accounts.log_in("ann", PASSWORD).token
    kept = b""
    for name in client.keys(f"{keys.prefix}*"):
        kept += name
        if client.type(name) == b"hash":
            kept += b"".join(part for item in client.hgetall(name).items() for part in item)
        else:
            kept += client.get(name)
    for secret in (key, token, PASSWORD, session):
        assert secret.encode() not in kept
        assert secret.partition("_")[2].encode() not in kept or "_" not in secret


def test_the_same_password_has_another_hash_each_time():
    first, second = hash_password(PASSWORD), hash_password(PASSWORD)
    assert first != second
    assert is_password(PASSWORD, first)
    assert is_password(PASSWORD, second)
    assert not is_password(PASSWORD + "!", first)


def test_a_password_may_be_typed_composed_or_not():
    assert is_password(
        "cafe\N{COMBINING ACUTE ACCENT} au lait", hash_password("caf\N{LATIN SMALL LETTER E WITH ACUTE} au lait")
    )


def test_a_hash_of_other_cost_still_holds(monkeypatch):
    before = hash_password(PASSWORD)
    monkeypatch.setattr(passwords, "_P", 2)
    assert is_password(PASSWORD, before)


def test_nobody_has_no_password_but_the_same_work_is_done(monkeypatch):
    costs = []
    scrypt = passwords._scrypt
    monkeypatch.setattr(passwords, "_scrypt", lambda *arguments: costs.append(arguments[2:]) or scrypt(*arguments))
    is_password(PASSWORD, hash_password(PASSWORD))
    costs.clear()
    is_password(PASSWORD, None)
    assert costs == [(2**10, 8, 5)]
    assert not is_password("", None)
    assert not is_password(PASSWORD, None)
