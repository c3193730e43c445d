class Html:
    def _repr_html_(self):
        return 5

class Any:
    def __getattr__(self, name):
        return lambda *args, **kwargs: "made up"

Any()
# %%
class Multi:
    def __repr__(self):
        return "first\nsecond\n  third"

Multi()
# %%
[Multi(), Multi()]
# %%
class Sub(dict):
    def __repr__(self):
        return "Sub!"

Sub(a=1), {"k": Sub()}
# %%
class Meta(type):
    def __repr__(cls):
        return f"<meta {cls.__name__}>"

class Made(metaclass=Meta): ...
Made
