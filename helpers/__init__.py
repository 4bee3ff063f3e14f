"""The package behind the notebooks: data, training, hidden states, clusters, neighbours."""

import os

# Threads that wait for others sleep instead of spinning: beside another process that computes, a step of training takes
# a fifth of the time. OpenMP reads this when torch is loaded, here and in every process that is started from here.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
