import numpy as np
rng = np.random.default_rng(0)
x = rng.uniform(-1, 1, 200)
y = 3 * x + 0.5 + rng.normal(0, 0.1, 200)
w, b = 0.0, 0.0
for step in range(300):
    error = w * x + b - y
    w -= 0.1 * (error * x).mean()
    b -= 0.1 * error.mean()
round(w, 1), round(b, 1)
# %%
class Model:
    def __init__(self, degree):
        self.degree = degree
    def fit(self, x, y):
        self.c_ = np.polyfit(x, y, self.degree)
        return self
    def __repr__(self):
        return f"Model(degree={self.degree})"

Model(2).fit(x, y)
# %%
np.abs(Model(1).fit(x, y).c_ - [3, 0.5]).max() < 0.1
# %%
Model(1).c_
