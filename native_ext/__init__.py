"""C11 parts of the engine: ring algorithms and clocks (`_native`), frame decoding (`_feed`).

Nothing here knows strategies or orders. See `README.md` beside this file for the sources in
reading order, and `ringbuffer/layout.py` for the bytes that C and Python agree on.
"""
