"""Runs inside: tries to have argv[1] children at once; reports how many it got, and the error."""

import errno
import json
import os
import signal
import sys

children: list[int] = []
refused = ""
try:
    for _ in range(int(sys.argv[1])):
        child = os.fork()
        if child == 0:
            signal.pause()
        children.append(child)
except OSError as error:
    refused = errno.errorcode.get(error.errno or 0, "?")
for child in children:
    os.kill(child, signal.SIGKILL)
print(json.dumps({"children": len(children), "refused": refused}))
