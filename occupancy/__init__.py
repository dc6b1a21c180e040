"""How full a place is, how sure we are, and how full it will be.

A pure library on numpy: it receives counts and times and returns distributions. It knows nothing of brokers or clocks.
"""
