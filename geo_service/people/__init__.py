"""People: what may be kept of them, under which name, and how it goes away again. Pure rules; `storage/people.py` does it."""
