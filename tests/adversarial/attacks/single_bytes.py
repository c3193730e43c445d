# R46: 200,000 bytes, each written alone, to both streams in turn.
import os

for number in range(200_000):
    os.write(1 + number % 2, b"x")
