"""Containers that are started before they are needed: an engine around an engine."""

from sandbox_runner.pool.demand import Bounds
from sandbox_runner.pool.pool import Pool, open_pool

__all__ = ["Bounds", "Pool", "open_pool"]
