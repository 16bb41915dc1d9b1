"""One module or package per venue, translating wire bytes to domain records and back.

A venue imports the domain and `venue.py`; never another venue, a ring or a process.
"""
