x = 1
def get():
    return x
get()
# %%
x = 2
get()
# %%
def get():
    return "new"
get()
# %%
del x
x
# %%
from math import *
pi, sqrt(16)
# %%
print = lambda *args: None
print("hidden")
# %%
del print
print("shown again")
