"""Runs inside: two processes that each use argv[1] seconds of CPU time."""

import os
import sys
import time

child = os.fork()
while time.process_time() < float(sys.argv[1]):
    pass
if child:
    os.waitpid(child, 0)
