"""Runs untrusted code in sealed, single-use containers."""

__version__ = "0.1.0"
