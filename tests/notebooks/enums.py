from enum import Enum, Flag, auto
class Color(Enum):
    RED = 1
    BLUE = 2

Color.RED
# %%
list(Color)
# %%
Color
# %%
class Mode(Flag):
    R = auto()
    W = auto()

Mode.R | Mode.W
# %%
Color(3)
# %%
Color["RED"].value
