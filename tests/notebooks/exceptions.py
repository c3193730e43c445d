1 / 0
# %%
int("seven")
# %%
{}["key"]
# %%
class Problem(Exception):
    pass

raise Problem("mine")
# %%
try:
    [][1]
except IndexError as error:
    print("caught", error)
    kept = error
kept
# %%
raise ValueError("one") from KeyError("two")
# %%
ExceptionGroup("several", [ValueError(1), TypeError("x")])
# %%
assert 1 == 2, "no"
