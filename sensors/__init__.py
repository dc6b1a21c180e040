"""Store sensors: what every make says, in one shape.

A pure library: bytes of any supported make come in, canonical `Reading`s come out, and totals become deltas
exactly once. It knows nothing of brokers, stores or clocks.
"""
