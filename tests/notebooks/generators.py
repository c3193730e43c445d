def squares(n):
    for k in range(n):
        yield k * k

list(squares(5))
# %%
each = squares(3)
next(each), next(each)
# %%
sum(k for k in squares(10))
# %%
next(each), next(each)
# %%
list(zip("abc", squares(3)))
# %%
import itertools
list(itertools.islice(itertools.count(10, 5), 4))
