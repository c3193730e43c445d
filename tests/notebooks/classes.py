class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __repr__(self):
        return f"Point({self.x}, {self.y})"

Point(1, 2)
# %%
class Card:
    def _repr_html_(self):
        return "<b>card</b>"

    def __repr__(self):
        return "a card"

Card()
# %%
[Card(), Point(3, 4)]
# %%
Point
# %%
Point(1)
# %%
Point(1, 2).z
