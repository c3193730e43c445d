from dataclasses import dataclass, field, asdict
@dataclass
class Item:
    name: str
    price: float = 1.0
    tags: list = field(default_factory=list)

Item("pen")
# %%
asdict(Item("a" * 40, 2.5, ["blue", "small", "cheap", "made of plastic"]))
# %%
Item()
# %%
@dataclass(frozen=True)
class Fixed:
    n: int

Fixed(1).n = 2
# %%
sorted({Fixed(2), Fixed(1)}, key=lambda each: each.n)
