# R05: children that have ended and are never waited for, so that each keeps its process id.
import os

from attempts import done, tell, until_refused


def child():
    if not os.fork():
        os._exit(0)


count, refusal = until_refused(child, most=200)
tell("zombies", count)
tell("refusal", refusal)
done()
