def outer():
    count = 0
    def inner():
        nonlocal count
        count += 1
        return count
    return inner

tick = outer()
tick(), tick()
# %%
[y for y in range(3)]
# %%
y
# %%
counter = 0
def up():
    global counter
    counter += 1
up(); up()
counter
# %%
if (n := 10) > 5:
    print(n)
n
# %%
__name__
