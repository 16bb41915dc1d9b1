"""Tests. A package by file, since other distributions install a package of this name."""
