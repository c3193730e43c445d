x = 5
# %%
x;
# %%
x  # a comment
# %%
# only a comment
# %%
x; y = 2
# %%
y = 3; y
# %%
if x:
    x
# %%
for n in range(2):
    n
# %%
"""a docstring"""
# %%
x = y = 7; x + y;
