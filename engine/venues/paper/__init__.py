"""Paper trading on real market data: orders are matched here, nothing leaves this machine."""
