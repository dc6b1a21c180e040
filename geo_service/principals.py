"""Who is asking, and what they may do.

```
pk_…            publishable key    in an app anyone can unpack: register a device, see what is around a place
device token    one phone          its own pings and its own offers
sk_…            secret key         a back office: the actions and stores it was made for
session         a person           what the role allows, in the person's stores
```
"""

from enum import StrEnum
from typing import Literal, NamedTuple

import msgspec

Role = Literal["staff", "analyst", "manager", "admin"]


class Action(StrEnum):
    """What a route asks for."""

    REGISTER = "register"
    """Make a device and its token."""
    CONTEXT = "context"
    """See the fences and stores around a place."""
    PING = "ping"
    """Send a device's pings and read its offers."""
    SENSE = "sense"
    """Send a sensor's readings."""
    READ = "read"
    """Read the catalogue, occupancy and the event stream."""
    COUNT = "count"
    """Say how many people are in a store."""
    REDEEM = "redeem"
    """Redeem coupons at a till, and take that back."""
    CONFIGURE = "configure"
    """Change the catalogue."""
    PEOPLE = "people"
    """Record what a person agrees to, tell what is kept of them, erase it."""
    WEBHOOKS = "webhooks"
    """Make and change webhooks, and send what did not arrive again."""
    IDENTITIES = "identities"
    """See device ids in events."""


PUBLISHABLE = frozenset({Action.REGISTER, Action.CONTEXT})
DEVICE = frozenset({Action.PING})
SECRET = frozenset(Action)
"""All that a secret key may be made for."""
BY_ROLE: dict[Role, frozenset[Action]] = {
    "staff": frozenset({Action.CONTEXT, Action.READ, Action.COUNT, Action.REDEEM}),
    "analyst": frozenset({Action.CONTEXT, Action.READ, Action.IDENTITIES}),
    "manager": frozenset(
        {Action.CONTEXT, Action.READ, Action.COUNT, Action.REDEEM, Action.CONFIGURE, Action.IDENTITIES}
    ),
    "admin": frozenset(Action),
}


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whose credentials were found good."""

    kind: Literal["publishable", "device", "secret", "person"]
    id: str
    """The key's id, the device, or the person's name."""
    actions: frozenset[Action]
    stores: frozenset[str] | None = None
    """None: every store."""
    role: Role | None = None

    def may(self, action: Action) -> bool:
        """Whether the action is allowed at all."""
        return action in self.actions

    def sees(self, store: str | None) -> bool:
        """Whether what belongs to this store (None: to no store in particular) is within the scope."""
        return self.stores is None or (store is not None and store in self.stores)


class Session(NamedTuple):
    """A person's login."""

    token: str
    principal: Principal
    lifetime_s: int


class DeviceToken(NamedTuple):
    """A device and the token that speaks for it; the token is told once and never again."""

    device: str
    token: str
