"""Arrays that grow together: one attribute a column, one element a thing."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Columns:
    """Columns of equal length named by `SPEC`; `size` elements of each are in use, the rest is room to grow."""

    SPEC: ClassVar[dict[str, DTypeLike]] = {}

    def __init__(self) -> None:
        self.size = 0
        self._room = 0
        for name, kind in self.SPEC.items():
            setattr(self, name, np.zeros(0, kind))

    def resize(self, size: int) -> None:
        """Make `size` elements be in use; new ones are zero or whatever stood there before."""
        if size > self._room:
            # A quarter more than needed: growing stays rare and memory close to what is used.
            self._room = max(64, size + size // 4)
            for name, kind in self.SPEC.items():
                old: NDArray[Any] = getattr(self, name)
                new = np.zeros(self._room, kind)
                new[: self.size] = old[: self.size]
                setattr(self, name, new)
        self.size = size

    def nbytes(self) -> int:
        """Memory of the columns."""
        return sum(int(getattr(self, name).nbytes) for name in self.SPEC)

    def dump_columns(self) -> dict[str, bytes]:
        """Each column of numbers as it lies in memory."""
        return {
            name: getattr(self, name)[: self.size].tobytes()
            for name, kind in self.SPEC.items()
            if kind is not np.object_
        }

    def restore_columns(self, dumped: dict[str, bytes], size: int) -> None:
        """What `dump_columns` wrote."""
        self.size = self._room = size
        for name, kind in self.SPEC.items():
            column = np.frombuffer(dumped[name], kind).copy() if name in dumped else np.zeros(size, kind)
            setattr(self, name, column)


def spans(start: NDArray[Any], count: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions `start[i] … start[i] + count[i] - 1` for every i in turn, and the i of each position."""
    owner = np.repeat(np.arange(len(count)), count)
    ends = np.cumsum(count, dtype=np.int64)
    offset = np.asarray(start, np.int64) - (ends - count)
    return np.arange(len(owner)) + offset[owner], owner
