"""What programs written for notebooks import of IPython: `IPython.display`. IPython itself is not here."""

version_info = (9, 0, 0, "")
__version__ = "9.0.0"


def get_ipython():
    """There is none."""
    return None


def __getattr__(name):
    if name == "display":
        from importlib import import_module

        return import_module("IPython.display")
    raise AttributeError(f"IPython.{name} is not here: this image has IPython.display only")
