"""The trading engine: domain kernels, venues, processes, store and web.

Importing this package must stay free of cost: the main process imports it before its socket is
bound, so nothing is imported here.
"""
