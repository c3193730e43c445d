"""Limits: what a program may use is capped, and the result says which cap it met.

Run: python examples/limits.py
"""

from sandbox_runner import Limits, run

endless = run("while True: pass", limits=Limits(wall_time=1))
print("endless loop:", endless.status)

greedy = run("data = bytearray(10**10)", limits=Limits(memory="64m"))
print("10 GB of memory:", greedy.status, dict(greedy.limits_hit))

offline = run("import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)")
print("network:", offline.stderr.splitlines()[-1])
