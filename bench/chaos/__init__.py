"""Seeded runs of a whole engine against a practice exchange while both are hurt on purpose."""
