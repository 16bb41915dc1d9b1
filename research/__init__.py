"""Offline work on journals and recordings: datasets, labels, training, backtests and reports.

The engine never imports it.
"""
