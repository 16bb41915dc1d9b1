"""Shared-memory segments and the rings in them; the picture is in `layout.py`.

Importing this package imports neither numpy nor Numba: the main process opens segments before
anything heavy is loaded. Kernels live in `kernels.py` and `atomics.py`, which import Numba.
"""
