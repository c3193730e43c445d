def kind(value):
    match value:
        case {"type": t}:
            return f"dict of {t}"
        case [first, *rest]:
            return first, rest
        case int() | float():
            return "number"
        case _:
            return None

kind({"type": "x"})
# %%
kind([1, 2, 3])
# %%
kind(2.5), kind("text")
# %%
type Pair[T] = tuple[T, T]
Pair
# %%
def first[T](items: list[T]) -> T:
    return items[0]
first([9])
