"""Runs inside: prints argv[1] bytes."""

import os
import sys

left = int(sys.argv[1])
while left:
    left -= os.write(1, b"x" * min(left, 1 << 16))
