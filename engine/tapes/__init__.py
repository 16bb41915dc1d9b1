"""Recorded markets in files: tapes, Parquet, where they go, and what can be turned into them.

Tapes know records and files; they know no ring, no venue and no process.
"""
