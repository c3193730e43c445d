list(range(60))
# %%
{n: n * n for n in range(30)}
# %%
{"names": ["Ada Lovelace", "Grace Hopper", "Barbara Liskov", "Frances Allen"], "n": 4}
# %%
set("the quick brown fox jumps over the lazy dog")
# %%
tuple("abcdefghijklmnopqrstuvwxyz")
# %%
frozenset(range(40))
# %%
[[n] * 12 for n in range(8)]
# %%
list(range(2000))[:1001]
