"""Makes a machine ready for runs, and undoes it: engine, base image, images, self-tests.

Nothing here prints, and nothing here is imported by a run.
"""
