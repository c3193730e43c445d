print(*range(5), sep=", ")
# %%
print("many\n" * 3)
# %%
import pprint
pprint.pprint({"a": list(range(30)), "b": {"c": "d" * 60}})
# %%
print("out"); "value"
# %%
print(f"{'x':>5}|{3.14159:.2f}|{10:#x}")
# %%
import textwrap
print(textwrap.fill("word " * 30, 40))
