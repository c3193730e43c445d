"""Runs inside: reports the files it finds where a program can write, and leaves one in each place."""

import json
import os

NAME = "left-by-a-run"
PLACES = ("/workspace", "/tmp", "/dev/shm")


def leave(place: str) -> None:
    """Leaves a file in ``place``, unless another user has."""
    try:
        with open(f"{place}/{NAME}", "w") as file:
            file.write("x")
    except OSError:
        pass


trees = [tree for place in PLACES for tree in os.walk(place)]
found = [f"{top}/{name}" for top, folders, files in trees for name in folders + files]
for place in PLACES:
    leave(place)
left = [place for place in PLACES if os.path.exists(f"{place}/{NAME}")]
print(json.dumps({"found": sorted(found)[:64], "left": left}))
