"""Runs inside: fills argv[1] bytes of memory."""

import sys

PIECE = 4 << 20
kept = [b"x" * PIECE for _ in range(int(sys.argv[1]) // PIECE)]
