# R14: memory that belongs to no process: files that exist in memory alone.
import os

kept = []
while True:
    file = os.memfd_create("bomb")
    os.write(file, b"x" * (4 << 20))
    kept.append(file)
