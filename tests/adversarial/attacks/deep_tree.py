# R17: a folder in a folder in a folder, as deep as the file system lets it be.
import os

from attempts import done, tell, until_refused


def deeper():
    os.mkdir("d")
    os.chdir("d")


count, refusal = until_refused(deeper)
tell("depth", count)
tell("refusal", refusal)
done()
