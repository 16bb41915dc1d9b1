"""The processes of one engine, the only place that opens, spawns and wires.

No trading logic lives here: roles move records between sockets, rings, kernels and files.
"""
