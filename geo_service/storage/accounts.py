"""Who may ask for what: API keys, devices' tokens, people with passwords, and their sessions.

No secret is kept. Keys and tokens are 256 random bits, so their SHA-256 is as good as a password hash and can be looked
up: what time a lookup takes says nothing about a secret that it never saw. Passwords go through scrypt (RFC 7914; cost
as the OWASP password storage cheat sheet has it), and an unknown name takes as long as a wrong password.
"""

import hashlib
import secrets
from collections.abc import Callable, Collection
from typing import Any, Literal

import msgspec

from geo_service.errors import InvalidInputError
from geo_service.ids import require_id
from geo_service.principals import BY_ROLE, DEVICE, PUBLISHABLE, SECRET, Action, DeviceToken, Principal, Role, Session
from geo_service.storage.connection import Client, reaching
from geo_service.storage.keys import Keys
from geo_service.storage.passwords import hash_password, is_password
from geo_service.storage.scripts import Script

SESSION_S = 12 * 3600
"""A session ends so long after it was last used,"""
LONGEST_SESSION_S = 7 * 86_400
"""and so long after it began, however much it is used."""
KeyKind = Literal["publishable", "secret"]
_PREFIXES: dict[KeyKind, str] = {"publishable": "pk_", "secret": "sk_"}


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """An API key as it is kept: everything but the key."""

    id: str
    kind: KeyKind
    actions: frozenset[Action]
    stores: frozenset[str] | None
    created_ms: int
    note: str


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who works here."""

    name: str
    role: Role
    stores: frozenset[str] | None
    created_ms: int


class _PersonRecord(msgspec.Struct, frozen=True):
    person: Person
    password: str
    logins: str
    """Changes with the password: sessions of before end."""


class _SessionRecord(msgspec.Struct, frozen=True):
    name: str
    logins: str
    began_ms: int


_encode = msgspec.json.Encoder(order="deterministic").encode
_decode_key = msgspec.json.Decoder(ApiKey).decode
_decode_person = msgspec.json.Decoder(_PersonRecord).decode
_decode_session = msgspec.json.Decoder(_SessionRecord).decode


class Accounts:
    """Accounts on Redis. Every method raises UnreachableError once the client's retries are used up."""

    def __init__(self, client: Client, now_ms: Callable[[], int], *, keys: Keys | None = None) -> None:
        """Sends nothing."""
        keys = keys or Keys()
        self._client = client
        self._now_ms = now_ms
        self._keys = keys
        self._api_keys, self._people = keys("api_keys"), keys("people")
        self._tokens, self._devices = keys("device_tokens"), keys("devices")
        self._register = Script("register")

    # --- who is it ---------------------------------------------------------------------------------------------------

    def identify(self, credential: str) -> Principal | None:
        """Whose API key or device token this is; None: nobody's, or revoked."""
        digest = _digest(credential)
        with reaching(self._client):
            if credential.startswith(tuple(_PREFIXES.values())):
                packed: Any = self._client.hget(self._api_keys, digest)
                if packed is None:
                    return None
                key = _decode_key(packed)
                return Principal(kind=key.kind, id=key.id, actions=key.actions, stores=key.stores)
            device: Any = self._client.hget(self._tokens, digest)
        return None if device is None else Principal(kind="device", id=device.decode(), actions=DEVICE)

    def resume(self, session: str) -> Principal | None:
        """Whose session this is, with the rights of now; it then lasts longer. None: unknown, ended or expired."""
        key = self._session_key(session)
        with reaching(self._client):
            packed: Any = self._client.getex(key, ex=SESSION_S)
            if packed is None:
                return None
            record = _decode_session(packed)
            found = self._record_of(record.name)
            is_over = self._now_ms() - record.began_ms >= LONGEST_SESSION_S * 1000
            if found is None or found.logins != record.logins or is_over:
                self._client.delete(key)
                return None
        return _principal(found.person)

    def log_in(self, name: str, password: str) -> Session | None:
        """Begin a session; None where name or password is wrong, in the same time either way."""
        record = self._record_of(name)
        if not is_password(password, None if record is None else record.password) or record is None:
            return None
        token = secrets.token_urlsafe(32)
        session = _SessionRecord(record.person.name, record.logins, self._now_ms())
        with reaching(self._client):
            self._client.set(self._session_key(token), _encode(session), ex=SESSION_S)
        return Session(token, _principal(record.person), SESSION_S)

    def log_out(self, session: str) -> None:
        """End a session."""
        with reaching(self._client):
            self._client.delete(self._session_key(session))

    def _session_key(self, token: str) -> str:
        return self._keys("session", hash=_digest(token))

    # --- API keys ----------------------------------------------------------------------------------------------------

    def create_key(
        self,
        kind: KeyKind,
        *,
        actions: Collection[Action] | None = None,
        stores: Collection[str] | None = None,
        note: str = "",
    ) -> tuple[ApiKey, str]:
        """A new key, and the one telling of its text.

        Args:
            kind: `publishable` (for an app that anybody can unpack) or `secret` (for a back office).
            actions: what it may do; None: all that its kind can.
            stores: ids of the stores it may do it in; None: all.
            note: what it is for.

        Raises:
            InvalidInputError: an action that a key of this kind cannot have, or a store that is no id.
        """
        allowed = PUBLISHABLE if kind == "publishable" else SECRET
        wanted = allowed if actions is None else frozenset(actions)
        if not wanted or not wanted <= allowed:
            raise InvalidInputError(f"a {kind} key may have: {', '.join(sorted(allowed))}", field="actions")
        text = _PREFIXES[kind] + secrets.token_urlsafe(32)
        key = ApiKey(
            id=secrets.token_hex(4),
            kind=kind,
            actions=wanted,
            stores=_stores(stores),
            created_ms=self._now_ms(),
            note=note,
        )
        with reaching(self._client):
            self._client.hset(self._api_keys, _digest(text), _encode(key))
        return key, text

    def revoke_key(self, key_id: str) -> bool:
        """End a key; False where there is none of this id."""
        with reaching(self._client):
            kept: Any = self._client.hgetall(self._api_keys)
            digests = [digest for digest, packed in kept.items() if _decode_key(packed).id == key_id]
            return bool(digests and self._client.hdel(self._api_keys, *digests))

    def list_keys(self) -> list[ApiKey]:
        """All keys, oldest first."""
        with reaching(self._client):
            kept: Any = self._client.hvals(self._api_keys)
        return sorted((_decode_key(packed) for packed in kept), key=lambda key: (key.created_ms, key.id))

    # --- devices -----------------------------------------------------------------------------------------------------

    def register(self, device: str | None) -> DeviceToken | None:
        """A token for a new device (None: with an id made here); None where the id is taken.

        Raises:
            InvalidInputError: the device is no id.
        """
        name = "d-" + secrets.token_hex(8) if device is None else require_id(device, "device")
        # With a prefix, so that a token never looks like an API key.
        token = "dt_" + secrets.token_urlsafe(32)
        with reaching(self._client):
            made = self._register.run(self._client, [self._devices, self._tokens], [name, _digest(token)])
        return DeviceToken(name, token) if made else None

    def forget_device(self, device: str) -> bool:
        """End a device's token and free its id; False where it is not registered."""
        with reaching(self._client):
            digest: Any = self._client.hget(self._devices, device)
            if digest is None:
                return False
            with self._client.pipeline() as pipe:
                pipe.hdel(self._tokens, digest)
                pipe.hdel(self._devices, device)
                pipe.execute()
        return True

    # --- people ------------------------------------------------------------------------------------------------------

    def put_person(self, name: str, role: Role, password: str, *, stores: Collection[str] | None = None) -> Person:
        """Add somebody, or change role, stores and password; sessions of before end.

        Raises:
            InvalidInputError: a name that is no id, an unknown role, or a password that is too short or too long.
        """
        if role not in BY_ROLE:
            raise InvalidInputError(f"is none of {', '.join(BY_ROLE)}", field="role")
        person = Person(name=require_id(name, "name"), role=role, stores=_stores(stores), created_ms=self._now_ms())
        record = _PersonRecord(person, hash_password(password), secrets.token_hex(8))
        with reaching(self._client):
            self._client.hset(self._people, name, _encode(record))
        return person

    def remove_person(self, name: str) -> bool:
        """Remove somebody, who is logged out by that; False where there is nobody of this name."""
        with reaching(self._client):
            return bool(self._client.hdel(self._people, name))

    def list_people(self) -> list[Person]:
        """Everybody, by name."""
        with reaching(self._client):
            kept: Any = self._client.hvals(self._people)
        return sorted((_decode_person(packed).person for packed in kept), key=lambda person: person.name)

    def _record_of(self, name: str) -> _PersonRecord | None:
        with reaching(self._client):
            packed: Any = self._client.hget(self._people, name)
        return None if packed is None else _decode_person(packed)


def _principal(person: Person) -> Principal:
    return Principal(
        kind="person", id=person.name, actions=BY_ROLE[person.role], stores=person.stores, role=person.role
    )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _stores(stores: Collection[str] | None) -> frozenset[str] | None:
    return None if stores is None else frozenset(require_id(store, "stores") for store in stores)
