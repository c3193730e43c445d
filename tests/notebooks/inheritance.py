from abc import ABC, abstractmethod
class Shape(ABC):
    @abstractmethod
    def area(self): ...

Shape()
# %%
class Square(Shape):
    def __init__(self, side):
        self.side = side

    def area(self):
        return self.side**2

    def __eq__(self, other):
        return self.side == other.side

Square(3).area()
# %%
Square(2) == Square(2), isinstance(Square(1), Shape)
# %%
Square.__mro__
# %%
hash(Square(1))
