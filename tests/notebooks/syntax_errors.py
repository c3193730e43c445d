print("before"
# %%
x = 3
x +
# %%
def f():
return 1
# %%
x
# %%
"unfinished
# %%
if True:
    y = 1
  y
# %%
undefined_name
