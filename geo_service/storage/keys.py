"""Every Redis key this service writes, declared here and nowhere else.

What is in braces beside a digit or a word is the hash tag: keys that share one lie on the same node of a Redis Cluster,
which is what lets one script or transaction touch them together.

A key that may hold something about a person is marked `personal`; erasing a person is a loop over those.
"""

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

DAY_S = 86_400
Goes = Literal["mention", "fold", "rewrite", "ledger", "border", "erasure", "staff"]
"""How a person's id leaves a personal key when they are erased; `storage/people.py` does it.

mention   whatever mentions them is taken out: the key, the field, the member or the entry
fold      the fold forgets them, and the next checkpoint passes what came before
rewrite   the stream is written anew without the lines about them
ledger    counters and claims are theirs alone; what else a record claims stays
border    last of all: until then it keeps their pings out
erasure   the erasure itself; its receipt names nobody
staff     never: it is about somebody who works here, not about a shopper
"""


class Key(NamedTuple):
    """One kind of key: what it is called, what is in it, whether that may concern a person, and how long it lives."""

    name: str
    pattern: str
    """With `<part>` for what varies."""
    kind: str
    """Redis type."""
    holds: str
    personal: bool
    lives: str
    """In words; `expires` says whether Redis itself ends it."""
    expires: bool = False
    goes: Goes = "mention"
    """Of a personal key."""


ALWAYS = "as long as the service"

KEYS = (
    Key("partitions", "{log}:partitions", "string", "how many partitions the log was made with", False, ALWAYS),
    Key("log", "{p<partition>}:log", "stream", "entries: field k is the kind, d the body", True, "until the checkpoint has passed", goes="fold"),
    Key("append", "{p<partition>}:append:<token>", "string", "ids that one append was given, so that its retry is not a second append", False, "10 min", True),
    Key("receipts", "{log}:receipts:<client>", "hash", "message id → checksum of the last MQTT message appended under it for this client, and how many were since", False, "7 days after the last", True),
    Key("outputs", "{p<partition>}:outputs", "stream", "outputs under the id of their entry: field d", True, "until every reader has passed, and at least 10 min", goes="rewrite"),
    Key("readers", "{p<partition>}:readers", "hash", "reader of outputs → position it is done with", False, ALWAYS),
    Key("current", "{p<partition>}:current", "hash", "name → current value, such as a store's occupancy", True, "until replaced or removed"),
    Key("names", "{p<partition>}:names", "zset", "names of current values, in order, to find them by prefix", True, "with the value"),
    Key("checkpoint", "{p<partition>}:checkpoint", "hash", "state of the fold and the position it holds for", True, "until the next checkpoint", goes="fold"),
    Key("staged", "{p<partition>}:staged", "hash", "a checkpoint on its way, inside one transaction", True, "within a transaction", goes="fold"),
    Key("epoch", "{p<partition>}:epoch", "string", "fencing epoch: how often the partition was taken over", False, ALWAYS),
    Key("ledger_counters", "{ledger}:counters", "hash", "counter → claimed sum and when it is forgotten", True, "until zero or forgotten", goes="ledger"),
    Key("ledger_records", "{ledger}:records", "hash", "idempotency key → what was decided and claimed", True, "48 h after the last change", goes="ledger"),
    Key("ledger_due", "{ledger}:due", "zset", "when a reservation, record or counter is over", True, "with what it names", goes="ledger"),
    Key("catalogue", "{catalogue}:of:<kind>", "hash", "id → version and JSON of one document of the site", False, "until removed"),
    Key("catalogue_version", "{catalogue}:version", "string", "counts every change of the site", False, ALWAYS),
    Key("catalogue_changed", "{catalogue}:changed", "zset", "kind and id → version of its last change, removals too", False, ALWAYS),
    Key("api_keys", "{accounts}:keys", "hash", "SHA-256 of an API key → what it may do", False, "until revoked"),
    Key("device_tokens", "{accounts}:tokens", "hash", "SHA-256 of a device's token → the device", True, "until revoked or the device is forgotten"),
    Key("devices", "{accounts}:devices", "hash", "device → SHA-256 of its token", True, "until revoked or the device is forgotten"),
    Key("people", "{accounts}:people", "hash", "login → role, stores and password hash of somebody who works here", True, "until removed", goes="staff"),
    Key("recent_offers", "{offers}:recent:<device>", "zset", "the device's newest decided offers by time", True, "30 days after the last", True),
    Key("questions", "{p<partition>}:questions", "list", "questions to the worker, beside the log", True, "1 min", True),
    Key("question_answer", "{p<partition>}:answer:<number>", "list", "the worker's answer to one", True, "1 min", True),
    Key("offer", "{offers}:of:<id>", "hash", "one decided offer: its JSON without the code, its device, and the fate of its delivery", True, "30 days", True),
    Key("coupon", "{coupons}:of:<fingerprint>", "hash", "HMAC of a code → what it is for, and how it stands", True, "30 days after it expires", True),
    Key("coupons_of", "{coupons}:device:<device>", "zset", "the device's coupons by when they expire", True, "400 days after the last", True),
    Key("coupon_answer", "{coupons}:answer:<key>", "hash", "what was answered under an idempotency key", True, "1 day", True),
    Key("coupons_untold", "{coupons}:untold", "hash", "changes of coupons that the log has not heard of yet", True, "until the log has them"),
    Key("coupon_secret", "{coupons}:secret", "string", "the secret that codes are made with, where no setting gives one", False, ALWAYS),
    Key("session", "{accounts}:session:<hash>", "string", "SHA-256 of a session's token → who logged in, and when", True, "12 h after it was last used", True, "staff"),
    Key("consents", "{people}:consents", "hash", "device → what its person agreed to or not, when, and to which text", True, "until erased"),
    Key("located", "{people}:located", "hash", "device → yes, no or erased: whether the border lets its pings in", True, "until erased", goes="border"),
    Key("located_changed", "{people}:located:changed", "zset", "device → version of its last change", True, "until erased", goes="border"),
    Key("erasing", "{people}:erasing", "zset", "erasures under way, by when they were asked for", False, "until done"),
    Key("erasure", "{people}:erasure:<receipt>", "string", "SHA-256 of a receipt → what an erasure removed; while it is under way, of whom", True, "400 days", True, "erasure"),
    Key("outputs_rewritten", "{p<partition>}:outputs:rewritten", "stream", "outputs on their way to replace the stream, without somebody who is erased", True, "10 min", True, "rewrite"),
    Key("located_version", "{people}:located:version", "string", "counts every change of who may be located", False, ALWAYS),
    Key("webhook_endpoints", "{webhooks}:endpoints", "hash", "id → a webhook's URL, what it hears, and its secrets", False, "until removed"),
    Key("webhook_version", "{webhooks}:version", "string", "counts every change of the endpoints", False, ALWAYS),
    Key("webhook_queue", "{webhooks}:queue:<endpoint>", "stream", "deliveries that wait: fields i id, k kind, t queued at, d body, o offer", True, "until delivered, a day at the most; 7 days after the last", True),
    Key("webhook_dead", "{webhooks}:dead:<endpoint>", "stream", "deliveries that were given up, as above with a attempts, r reason", True, "until sent again; 7 days after the last", True),
    Key("webhook_state", "{webhooks}:state:<endpoint>", "hash", "when the next attempt is due, and how many came to what", False, "until the endpoint is removed"),
    Key("webhook_fates", "{webhooks}:fates:<endpoint>", "list", "how the last deliveries ended, without their content", False, "7 days after the last", True),
    Key("webhook_offer", "{webhooks}:offer:<offer>", "hash", "endpoint → how the delivery of this offer to it stands", False, "30 days", True),
    Key("worker_counts", "{log}:counts:<worker>", "string", "JSON of a worker's counters", False, "10 s after the worker's last word", True),
    Key("limit", "{limits}:<subject>", "hash", "what is left in a token bucket, and since when", True, "until the bucket is full again", True),
)  # fmt: skip

_PART = re.compile(r"<(\w+)>")
_PATTERNS = {key.name: key.pattern for key in KEYS}


class Keys:
    """Makes keys, all of them behind one prefix, so that several services can share a Redis."""

    def __init__(self, prefix: str = "geo:") -> None:
        """`prefix` may be empty.

        Raises:
            ValueError: a brace or a character that patterns of keys give a meaning to.
        """
        if re.search(r"[{}*?\[\]\\\s]", prefix):
            raise ValueError(f"a prefix of keys cannot have braces, spaces or any of *?[]\\: {prefix!r}")
        self.prefix = prefix

    def __call__(self, name: str, **parts: str | int) -> str:
        """The key of this name with its parts filled in.

        Raises:
            KeyError: no such key, or a part is missing.
        """
        return self.prefix + _PART.sub(lambda part: str(parts[part[1]]), _PATTERNS[name])

    def declared(self, key: str) -> Key | None:
        """The declaration that this key of a running Redis falls under."""
        if not key.startswith(self.prefix):
            return None
        found = _DECLARATIONS.find(key.removeprefix(self.prefix))
        return None if found is None else found[0]


class Declarations:
    """Tells keys apart by their names, quickly: there may be millions."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._by_head: dict[str, list[tuple[re.Pattern[str], Key]]] = {}
        for key in keys:
            self._by_head.setdefault(_head(key.pattern), []).append((_shape(key), key))

    def find(self, name: str) -> tuple[Key, list[str]] | None:
        """The declaration of a key without its prefix, and what varies in its name, the partition aside."""
        tag, _, rest = name.partition(":")
        if tag.startswith("{p") and tag[2:-1].isdigit():
            tag = _PARTITION
        near = self._by_head.get(f"{tag}:{rest.partition(':')[0]}") or self._by_head.get(tag) or ()
        for shape, declaration in near:
            if (matched := shape.fullmatch(name)) is not None:
                parts = matched.groupdict()
                parts.pop("partition", None)
                return declaration, list(parts.values())
        return None


_PARTITION = "{p<partition>}"


def _shape(declaration: Key) -> re.Pattern[str]:
    def part(found: re.Match[str]) -> str:
        return r"(?P<partition>\d+)" if found[1] == "partition" else f"(?P<{found[1]}>.+)"

    # `re.escape` leaves angle brackets alone.
    return re.compile(_PART.sub(part, re.escape(declaration.pattern)), re.DOTALL)


def _head(pattern: str) -> str:
    """What stands before the first part that varies, two words of it at the most: what declarations are looked up by."""
    tag, _, rest = pattern.partition(":")
    word = rest.partition(":")[0]
    return tag if "<" in word else f"{tag}:{word}"


_DECLARATIONS = Declarations(KEYS)
