"""Geofenced foot traffic, honest occupancy, and offers that know how full the store is."""

__version__ = "0.1.0"
