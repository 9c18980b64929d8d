"""Catalogues brought in from elsewhere: cleaned, reported on, written as one items.parquet."""
