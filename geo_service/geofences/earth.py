"""WGS84 in the few formulas that geofences need.

Two pictures of the same earth: Earth-centred coordinates in metres (x through 0° N 0° E, y through 0° N 90° E, z through
the north pole), where the straight chord between two points of the surface is a distance that works at the poles and
across the antimeridian; and metres per degree around a latitude, for distances of up to a few kilometres.

Sources: NIMA TR8350.2 (the ellipsoid); Snyder, Map Projections: a Working Manual, USGS 1395, eq. 4-18 to 4-20 (radii).
"""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EQUATOR_M = 6_378_137.0
FLATTENING = 1 / 298.257223563
E2 = FLATTENING * (2 - FLATTENING)
"""First eccentricity, squared."""
MEAN_M = 6_371_008.8
RADIANS = math.pi / 180


def unit_vectors(lat: Floats, lon: Floats) -> Floats:
    """Degrees to directions (3, n) that have these as spherical latitude and longitude: normals of the ellipsoid."""
    phi, lam = lat * RADIANS, lon * RADIANS
    cos_phi = np.cos(phi)
    return np.stack((cos_phi * np.cos(lam), cos_phi * np.sin(lam), np.sin(phi)))


def on_ellipsoid(vectors: Floats) -> Floats:
    """The points (3, n), in metres from the earth's centre, where these are the normals."""
    x, y, z = vectors
    normal = EQUATOR_M / np.sqrt(1 - E2 * z * z)
    return np.stack((normal * x, normal * y, normal * (1 - E2) * z))


def degrees_of(vectors: Floats) -> tuple[Floats, Floats]:
    """Directions (3, n) to latitude and longitude."""
    x, y, z = vectors
    return np.arcsin(np.clip(z, -1, 1)) / RADIANS, np.arctan2(y, x) / RADIANS


def metres_per_degree(lat: Floats) -> tuple[Floats, Floats]:
    """Metres per degree of longitude and of latitude at a latitude."""
    phi = lat * RADIANS
    sin_phi = np.sin(phi)
    squeezed = 1 - E2 * sin_phi * sin_phi
    normal = EQUATOR_M / np.sqrt(squeezed)
    return normal * np.cos(phi) * RADIANS, normal * (1 - E2) / squeezed * RADIANS


def chord(distance_m: Floats | float, lat: Floats | float) -> Floats:
    """The straight line through the earth under a geodesic of this length that starts at this latitude.

    The radius of the arc is Gauss's mean radius there: at 100 km the chord is 1 m shorter than the arc, and which radius
    one takes changes that metre by less than a per cent.
    """
    sin_phi = np.sin(np.asarray(lat, np.float64) * RADIANS)
    radius = EQUATOR_M * math.sqrt(1 - E2) / (1 - E2 * sin_phi * sin_phi)
    return np.asarray(2 * radius * np.sin(np.asarray(distance_m) / (2 * radius)), np.float64)
