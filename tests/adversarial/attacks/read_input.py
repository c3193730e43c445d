# R56: reads its input although none was given.
import sys

print(len(sys.stdin.buffer.read()), flush=True)
