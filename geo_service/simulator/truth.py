"""What really happened: who is where, and every stay of every phone in every fence."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from geo_service.simulator.plan import Plan
from geo_service.simulator.plane import spans_inside
from geo_service.simulator.shopper import Leg


class Stay(msgspec.Struct):
    """One phone in one fence, from its first instant to its last."""

    device: str
    fence: str
    store: str
    role: str
    entered_ms: int
    left_ms: int | None
    """None while it lasts."""


class Whereabouts(msgspec.Struct, frozen=True):
    """Where somebody with a phone is."""

    lat: float
    lon: float
    store: str | None
    """The store the person is in."""


class Truth(msgspec.Struct, frozen=True):
    """The town at one instant."""

    time_ms: int
    inside: dict[str, int]
    """People in each store, with and without our app."""
    people: dict[str, Whereabouts]
    """Everyone with a phone who is not at home, by device."""
    stays: list[Stay]
    """Everything so far, by entry; empty where the town was told not to remember."""
    doors: dict[str, dict[str, tuple[int, int]]]
    """People who truly went in and out, by sensor and line."""


class Stays:
    """Turns legs into stays: exact crossings of a straight line with each fence.

    A `store` fence is entered and left in its doors, so its stays come from there (`visited`); they agree with the
    geometry, for doors lie on the edge and nobody walks through walls.
    """

    def __init__(self, plan: Plan) -> None:
        self._fences = [fence for fence in plan.fences if fence.role != "store"]
        self._visited = {fence.store: fence.id for fence in plan.fences if fence.role == "store"}
        boxes = np.array([fence.shape.box for fence in self._fences], np.float64).reshape(-1, 4)
        self._west, self._south, self._east, self._north = boxes.T
        self._open: dict[str, dict[int, Stay]] = {}
        self._visits: dict[tuple[str, str], Stay] = {}
        self._all: list[Stay] = []

    def follow(self, device: str, leg: Leg) -> None:
        """Note what this leg, to its end, enters and leaves."""
        staying = self._open.setdefault(device, {})
        touched = {*self._near(leg).tolist(), *staying} if leg.out else set(staying)
        for index in sorted(touched):
            fence = self._fences[index]
            spans = spans_inside(fence.shape, leg.start, leg.end) if leg.out else []
            if not spans or spans[0][0] > 0:
                self._close(staying, index, leg.start_ms)
            for share, until in spans:
                if index not in staying:
                    staying[index] = Stay(device, fence.id, fence.store, fence.role, _moment(leg, share), None)
                    self._all.append(staying[index])
                if until < 1:
                    self._close(staying, index, _moment(leg, until))

    def visited(self, device: str, store: str, entered_ms: int, left_ms: int | None) -> None:
        """A visit begins (left None) or ends."""
        if left_ms is None:
            stay = Stay(device, self._visited[store], store, "store", entered_ms, None)
            self._visits[device, store] = stay
            self._all.append(stay)
        else:
            self._visits.pop((device, store)).left_ms = left_ms

    def until(self, now_ms: int) -> list[Stay]:
        """The stays up to now, by entry; one that lasts beyond now has no end yet."""
        known = [stay for stay in self._all if stay.entered_ms <= now_ms]
        known.sort(key=lambda stay: (stay.entered_ms, stay.device, stay.fence))
        return [
            msgspec.structs.replace(stay, left_ms=None)
            if (stay.left_ms or 0) > now_ms
            else msgspec.structs.replace(stay)
            for stay in known
        ]

    @staticmethod
    def _close(staying: dict[int, Stay], index: int, at_ms: int) -> None:
        stay = staying.pop(index, None)
        if stay is not None:
            stay.left_ms = at_ms

    def _near(self, leg: Leg) -> NDArray[np.intp]:
        """Fences whose box the leg's box meets."""
        (x0, y0), (x1, y1) = leg.start, leg.end
        return np.flatnonzero(
            (self._west <= max(x0, x1))
            & (self._east >= min(x0, x1))
            & (self._south <= max(y0, y1))
            & (self._north >= min(y0, y1))
        )


def _moment(leg: Leg, share: float) -> int:
    return leg.start_ms + round(share * (leg.end_ms - leg.start_ms))
