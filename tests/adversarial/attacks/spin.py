# R32: uses the processor and nothing else, in more processes than it has cores.
import os

for _ in range(3):
    os.fork()
while True:
    pass
