data = {"user": {"name": "Ada", "roles": ["admin", "author"], "address": {"city": "London", "zip": None}}, "active": True}
data
# %%
[data, data]
# %%
[{"id": n, "tags": ["x" * n], "score": n / 7} for n in range(5)]
# %%
loop = [1]
loop.append(loop)
loop
# %%
{(1, 2): {3, 4}, "k": (5,)}
