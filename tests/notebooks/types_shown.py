int, list, dict
# %%
len
# %%
def add(a, b: int = 1, *rest, key=None, **more) -> int:
    return a + b
add
# %%
lambda x: x
# %%
import os.path, json
json.dumps
# %%
type(add), type(None), Exception
# %%
slice(1, 2), range(3), ...
# %%
from types import SimpleNamespace
SimpleNamespace(a=1, b=[1, 2])
# %%
import re
re.compile(r"\d+\s", re.I)
