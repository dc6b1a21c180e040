"""H3 cells of many points at once: what `h3.latlng_to_cell` says, in numpy, at a tenth of its cost.

H3 lays a hexagonal grid on each of the twenty faces of an icosahedron, seen from the earth's centre (a gnomonic
projection). So within one face everything is plane geometry:

```
point → unit vector → face → (x, y) on the face's plane, in cells → nearest lattice point (a, b) → key
```

The key is an integer of 7 + 3·res bits: H3's base cell, then its digits, as in the middle of an H3 index. A parent's key
is the child's without its last 3 bits. Digits come from going up the hierarchy, whose cells nest seven in one: each step
divides (a, b), as a complex number, by 2 ± ω, and the remainder is the digit.

What cannot be computed is H3's numbering: which base cell a patch of a face belongs to, and how its digits are turned
there. That is learned from the h3 library, once per resolution-2 cell in which a point is ever seen. The geometry itself
comes from the library, too: its twelve pentagons sit on the corners of the icosahedron.

Source: Sahr, White, Kimerling, Geodesic Discrete Global Grid Systems, 2003; https://h3geo.org/docs/core-library.
"""

from functools import cache
from itertools import combinations
from typing import NamedTuple

import h3
import numpy as np
from numpy.typing import NDArray

from geo_service.geofences.earth import Floats, unit_vectors

Keys = NDArray[np.int64]

_COARSE = 2
"""The resolution at which H3's numbering is learned."""
_SIDE = 64
"""Resolution-2 lattice points lie within ±32 of a face's centre."""
_CHUNK = 5
"""Levels whose digits are looked up together: 7⁵ is a table that fits the second-level cache."""
_AP7_TURN = np.arcsin(np.sqrt(3 / 28))
"""Odd resolutions are turned by this against even ones (aperture 7, class III)."""
# Digits of H3 in counter-clockwise order: K → IK → I → IJ → J → JK.
_WHEEL = (1, 5, 4, 6, 2, 3)
# The remainder, -3 to 3, of a step up, as a digit; by parity of the resolution stepped from.
_DIGIT = ((1, 3, 5, 0, 2, 4, 6), (3, 1, 2, 0, 5, 6, 4))
_UNKNOWN, _ASK = -1, -2


class Face(NamedTuple):
    """One face of the icosahedron: unit vectors of its centre and of its plane's x and y, and its three neighbours'."""

    centre: Floats
    x_axis: Floats
    y_axis: Floats
    neighbours: Floats


@cache
def faces() -> tuple[Face, ...]:
    """The twenty faces, made from the corners where H3's pentagons are."""
    corners = unit_vectors(*np.array([h3.cell_to_latlng(cell) for cell in h3.get_pentagons(15)]).T).T
    near = corners @ corners.T > 0.4  # neighbours are 63.4° apart, cos = 0.447
    triples = [t for t in combinations(range(12), 3) if near[t[0], t[1]] and near[t[0], t[2]] and near[t[1], t[2]]]
    centres = np.array([corners[list(triple)].sum(axis=0) for triple in triples])
    centres /= np.linalg.norm(centres, axis=1)[:, None]
    made = []
    for triple, centre in zip(triples, centres, strict=True):
        x_axis = corners[triple[0]] - (corners[triple[0]] @ centre) * centre
        x_axis /= np.linalg.norm(x_axis)
        beside = np.argsort(-(centres @ centre))[1:4]
        made.append(Face(centre, x_axis, np.cross(centre, x_axis), centres[beside]))
    return tuple(made)


@cache
def plane_axes(face: int, res: int) -> tuple[Floats, Floats]:
    """The x and y axes of a face's plane, scaled so that cells of this resolution are one unit apart."""
    made = faces()[face]
    corner = np.tan(np.arccos(np.sqrt((5 + 2 * np.sqrt(5)) / 15)))  # a face's centre to its corner, in the plane
    scale = 7 ** (res / 2) / (corner / 2)  # at resolution 0 a corner is two cells away from the centre
    turn = _AP7_TURN if res % 2 else 0.0
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    return made.x_axis * cos + made.y_axis * sin, made.y_axis * cos - made.x_axis * sin


def face_of(vectors: Floats) -> int | NDArray[np.intp]:
    """The face that each point is on; one number if they are all on the same, as the points of a city are."""
    if vectors.shape[1] == 0:
        return 0
    centres = _centres()
    guess = int(np.argmax(centres @ vectors[:, 0]))
    here = _dot(faces()[guess].centre, vectors)
    if all((here >= _dot(other, vectors)).all() for other in faces()[guess].neighbours):
        return guess
    return np.asarray(np.argmax(centres @ vectors, axis=0))


@cache
def _centres() -> Floats:
    return np.array([face.centre for face in faces()])


def _dot(axis: Floats, vectors: Floats) -> Floats:
    x, y, z = axis.tolist()
    return np.asarray(x * vectors[0] + y * vectors[1] + z * vectors[2])


def project(vectors: Floats, face: int, res: int) -> tuple[Floats, Floats]:
    """Points as x, y on a face's plane, in cells of this resolution."""
    x_axis, y_axis = plane_axes(face, res)
    inverse = 1 / _dot(faces()[face].centre, vectors)
    return _dot(x_axis, vectors) * inverse, _dot(y_axis, vectors) * inverse


def nearest(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The lattice point (a, b) whose hexagon holds (x, y); its place is (a - b/2, b·√3/2).

    Source: Charles Chambers's rounding, in Red Blob Games, Hexagonal Grids.
    """
    third = np.sqrt(3.0) * y + 1
    fore = np.floor(third + x)
    q = np.floor((np.floor(2 * x + 1) + fore) * (1 / 3))
    b = np.floor((fore + np.floor(third - x)) * (1 / 3))
    return q, b


def keys_at(lat: Floats, lon: Floats, res: int) -> Keys:
    """The keys of the cells that hold these points (degrees), at a resolution from 3 to 12."""
    return keys_of(unit_vectors(lat, lon), lat, lon, res)


def keys_of(vectors: Floats, lat: Floats, lon: Floats, res: int) -> Keys:
    """The same, for points whose unit vectors are at hand."""
    face = face_of(vectors)
    if isinstance(face, int):
        return lattice_keys(face, *nearest(*project(vectors, face, res)), res, lat, lon)
    keys = np.empty(len(lat), np.int64)
    for each in np.unique(face).tolist():
        rows = np.flatnonzero(face == each)
        a, b = nearest(*project(vectors[:, rows], each, res))
        keys[rows] = lattice_keys(each, a, b, res, lat[rows], lon[rows])
    return keys


def lattice_keys(face: int, a: Floats, b: Floats, res: int, lat: Floats, lon: Floats) -> Keys:
    """The keys of lattice points; `lat` and `lon` are any points in their cells and on this face."""
    fine = res - _COARSE
    chunks: list[NDArray[np.intp]] = []
    level = res
    while level > _COARSE:
        depth = min(_CHUNK, level - _COARSE)
        a, b, code = _climb(a.astype(np.float32), b.astype(np.float32), level, depth)
        chunks.append(code)
        level -= depth
    half = _SIDE // 2
    spot = (a * _SIDE + (b + ((face * _SIDE + half) * _SIDE + half))).astype(np.intp)
    prefix, turns = _numbering()
    known = prefix.take(spot)
    if len(known) and known.min() < 0:
        for row in _one_of_each(spot, known == _UNKNOWN):
            _learn(int(spot[row]), [int(code[row]) for code in chunks], res, float(lat[row]), float(lon[row]))
        known = prefix.take(spot)
    turn = turns.take(spot) * 7**_CHUNK
    keys = known << (3 * fine)
    level = res
    for code in chunks:
        depth = min(_CHUNK, level - _COARSE)
        keys |= _digits(level % 2, depth).take(code + turn) << (3 * (res - level))
        level -= depth
    if len(known) and known.min() < 0:
        for row in np.flatnonzero(known < 0).tolist():
            keys[row] = key_of(h3.str_to_int(h3.latlng_to_cell(float(lat[row]), float(lon[row]), res)))
    return keys


def _climb(a: Floats, b: Floats, level: int, depth: int) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Ancestors `depth` levels up, and the remainders on the way as a number to base 7, the finest one's digit last.

    Single precision holds it: at resolution 12 a and b stay below 4·10⁵.
    """
    code: Floats | float = 0.0
    for step in range(depth):
        if (level - step) % 2:
            across, b = 3 * a - b, (a + 2 * b)
        else:
            across, b = 2 * a + b, (3 * b - a)
        a = np.rint(across * np.float32(1 / 7))
        b = np.rint(b * np.float32(1 / 7))
        code += (across - 7 * a + 3) * 7**step
    return a, b, np.asarray(code).astype(np.intp)


@cache
def _digits(odd: int, depth: int) -> Keys:
    """`table[turn·7⁵ + code]`: the H3 digits, 3 bits each, of `_climb`'s code, turned by so many sixths."""
    codes = np.arange(7**_CHUNK)
    table = np.zeros((6, 7**_CHUNK), np.int64)
    for turn in range(6):
        turned = np.array([0, *(_WHEEL[(_WHEEL.index(digit) + turn) % 6] for digit in range(1, 7))])
        for step in range(depth):
            digit = np.array(_DIGIT[(odd + step) % 2])[codes // 7**step % 7]
            table[turn] |= turned[digit] << (3 * step)
    return table.ravel()


@cache
def _numbering() -> tuple[Keys, NDArray[np.intp]]:
    """What has been learned, by face and lattice point at resolution 2: the key there, and the turn of its digits."""
    size = 20 * _SIDE * _SIDE
    return np.full(size, _UNKNOWN, np.int64), np.zeros(size, np.intp)


def _one_of_each(spot: NDArray[np.intp], wanted: NDArray[np.bool_]) -> list[int]:
    rows = np.flatnonzero(wanted)
    return [int(row) for row in rows[np.unique(spot[rows], return_index=True)[1]]]


def _learn(spot: int, codes: list[int], res: int, lat: float, lon: float) -> None:
    prefix, turns = _numbering()
    key = key_of(h3.str_to_int(h3.latlng_to_cell(lat, lon, res)))
    coarse = key >> 3 * (res - _COARSE)
    if h3.is_pentagon(h3.int_to_str(cell_of(coarse, _COARSE))):
        prefix[spot] = _ASK  # around a pentagon's centre digits turn by sector
        return
    ours = level = 0
    for chunk in codes:
        depth = min(_CHUNK, res - level - _COARSE)
        ours |= int(_digits((res - level) % 2, depth)[chunk]) << (3 * level)
        level += depth
    for step in range(level - 1, -1, -1):
        mine, theirs = ours >> 3 * step & 7, key >> 3 * step & 7
        if mine:
            turns[spot] = (_WHEEL.index(theirs) - _WHEEL.index(mine)) % 6
            prefix[spot] = coarse
            return


def key_of(cell: int) -> int:
    """An H3 index as a key."""
    res = cell >> 52 & 15
    return (cell & (1 << 52) - 1) >> 3 * (15 - res)


def cell_of(key: int, res: int) -> int:
    """A key as an H3 index."""
    below = 3 * (15 - res)
    return 1 << 59 | res << 52 | key << below | (1 << below) - 1
