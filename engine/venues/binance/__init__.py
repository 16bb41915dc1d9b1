"""Binance USD-M futures: routed streams, signed REST calls and user-data events."""
