"""Runs inside: reports the files it finds where a program can write, and leaves one in each place."""

import json
import os

PLACES = ("/workspace", "/tmp", "/dev/shm")
found = [
    f"{top}/{name}" for place in PLACES for top, folders, inner in os.walk(place) for name in folders + inner
]
for place in PLACES:
    with open(f"{place}/left-by-a-run", "w") as file:
        file.write("x")
print(json.dumps({"found": sorted(found)[:64]}))
