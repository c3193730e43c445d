"""Why a client's configuration was left alone."""


class Unsuitable(Exception):
    """A configuration cannot be edited; the message goes on after its path: ``is not JSON``."""


UNSAFE = "is written in a way that cannot be edited safely"
