"""scikit.py FILE: reads a CSV file with pandas, fits scikit-learn's LinearRegression to 70 % of the rows, tests it on the rest,
and prints how long that took, in seconds, without the imports."""

import json
import resource
import sys
import time

import pandas
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import train_test_split

began = time.perf_counter()
frame = pandas.read_csv(sys.argv[1])
read = time.perf_counter()
features, target = frame.drop(columns="y"), frame["y"]
train, test, train_target, test_target = train_test_split(features, target, test_size=0.3, random_state=0)
model = LinearRegression().fit(train, train_target)
r2 = model.score(test, test_target)
done = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"read": read - began, "total": done - began, "r2": r2, "peak": peak, "coefficients": list(model.coef_)}))
