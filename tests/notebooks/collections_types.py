from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
Counter("mississippi")
# %%
OrderedDict(a=1, b=2)
# %%
d = defaultdict(list)
d["x"].append(1)
d
# %%
deque([1, 2, 3], maxlen=2)
# %%
Pair = namedtuple("Pair", "left right")
Pair(1, [2])
# %%
Counter({f"a long key number {n}": n for n in range(10)})
# %%
Pair(1)
