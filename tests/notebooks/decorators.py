import functools
def twice(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(function(*args))
    return wrapper

@twice
def add_ten(n):
    """Adds ten."""
    return n + 10

add_ten(1)
# %%
add_ten.__doc__
# %%
@functools.lru_cache
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

fib(80)
# %%
fib.cache_info()
# %%
functools.reduce(lambda a, b: a * b, range(1, 10))
