"""The practice exchange: a local venue that speaks the Binance USD-M wire protocol.

It plays recorded markets or generates a seeded one, matches orders against them, keeps exact
accounts and injects faults on command. It must never import engine, ringbuffer or native_ext:
two programs that share code would agree about their common mistakes.
"""
