"""The journal and the tables projected from it.

The message path never waits for anything in here.
"""
