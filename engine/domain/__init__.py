"""What the engine knows about markets and orders, as pure kernels and frozen structs.

Nothing in here does I/O, reads a clock, logs, or imports another part of the engine; live, paper,
replay and backtest all run this code.
"""
