"""What may not enter the log: pings of people who do not agree to be located, and pings from sensitive places.

The fold judges consent by itself, in the order of the log; this only keeps from being stored what the fold would drop
anyway. So what it knows may be a moment old, and a replay of the log without it gives the same outputs.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from geo_service.people.sensitive import SensitivePlaces
from geo_service.pings import native, owntracks
from geo_service.pings.fields import Row

Answer = Literal["yes", "no", "erased"]
"""What is known of a device: it agreed to be located, it refused, or it is being erased."""


class Located:
    """Who may be located: a set of those that differ from what is assumed of everybody else."""

    def __init__(self, *, assumed: bool) -> None:
        """`assumed`: whether who has said nothing may be."""
        self.assumed = assumed
        self._differ: set[str] = set()
        self.erased: set[str] = set()
        """Who is being erased: of them nothing may be stored, whatever it is about."""

    def __len__(self) -> int:
        return len(self._differ)

    @property
    def is_everybody(self) -> bool:
        """Whether nobody need be asked about."""
        return self.assumed and not self._differ

    def learn(self, answers: Mapping[str, Answer | None]) -> None:
        """Take note; None: nothing is known of the device (any more)."""
        for device, answer in answers.items():
            if answer == "erased":
                self.erased.add(device)
            else:
                self.erased.discard(device)
            if answer is not None and (answer == "yes") != self.assumed:
                self._differ.add(device)
            else:
                self._differ.discard(device)

    def may(self, device: str) -> bool:
        """Whether pings of this device may be stored."""
        return (device in self._differ) != self.assumed


class Turned(NamedTuple):
    """What was kept out."""

    no_consent: int
    sensitive: int


class Border:
    """Judges rows before they are stored."""

    def __init__(
        self,
        located: Located,
        places: SensitivePlaces | None = None,
        agrees_to_offers: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """`agrees_to_offers(device)` is asked before what is learnt for offers is stored; that is rare, pings are not."""
        self.located = located
        self.agrees_to_offers = agrees_to_offers
        self.places = places or SensitivePlaces()

    def turn_away(self, rows: list[Row]) -> Turned:
        """Take out of `rows` what may not be stored."""
        before = len(rows)
        if not self.located.is_everybody:
            may = self.located.may
            rows[:] = [row for row in rows if may(row[0])]
        agreed = len(rows)
        if rows and len(self.places):
            lat = np.fromiter((row[2] for row in rows), np.float64, agreed)
            lon = np.fromiter((row[3] for row in rows), np.float64, agreed)
            covered = self.places.cover(lat, lon)
            if covered.any():
                rows[:] = [row for row, inside in zip(rows, covered.tolist(), strict=True) if not inside]
        return Turned(before - agreed, agreed - len(rows))

    def may_keep(self, device: str, *, for_offers: bool) -> bool:
        """Whether something else about a device may be stored, for offers or for its own sake."""
        return device not in self.located.erased and (not for_offers or self.agrees_to_offers(device))

    def may_name(self, topic: str) -> bool:
        """Whether a refusal of a message with this topic may be kept: the topic of a ping names its device."""
        device = device_of(topic)
        return device is None or self.located.may(device)


def device_of(topic: str) -> str | None:
    """The device that a topic names; None where it names none."""
    if topic.startswith(native.TOPIC):
        return topic[len(native.TOPIC) :]
    if topic.startswith(owntracks.TOPIC):
        user, _, device = topic[len(owntracks.TOPIC) :].partition("/")
        return f"{user}.{device.partition('/')[0]}"
    return None


def spellings(device: str) -> Sequence[str]:
    """Every way in which topics and queries write a device's id: `u.d` is `owntracks/u/d` and `u=u&d=d` too."""
    parts = device.split(".")
    cuts = [(".".join(parts[:at]), ".".join(parts[at:])) for at in range(1, len(parts))]
    return [device, *(f"{user}/{name}" for user, name in cuts), *(f"u={user}&d={name}" for user, name in cuts)]
