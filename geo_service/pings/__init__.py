"""What phones say, in columns: one file per app, and `batch.py` for the columns they all become."""
