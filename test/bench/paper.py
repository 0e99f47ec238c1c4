# SPDX-License-Identifier: BSD-2-Clause
"""What Maglev hashing is expected to do, to put beside what is measured.

Evenness of the alternatives: Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load
Balancer", NSDI 2016, figure 11, at 1000 backends. Disruption: the paper's figure 12 is a plot without
figures; these are of a simulation of its algorithm (section 3.4) at 1000 backends, the mean of 200
runs. Build times: section 5.3, on the paper's machines.
"""

BACKENDS = 1000
RUNS = 200
SIZES = (65537, 655373)
REMOVED = (1, 5, 10, 20, 50, 100)

# {table size: {hash: backends have at most that many times the average, minus one}}
OVER_PROVISION = {
    65537: {"Maglev": 0.007, "Karger": 0.297, "Rendezvous": 0.495},
    655373: {"Maglev": 0.0010, "Karger": 0.103, "Rendezvous": 0.123},
}

# {table size: {backends removed: share of slots changed}}
CHANGED = {
    65537: {1: 0.0068, 5: 0.0231, 10: 0.0333, 20: 0.0465, 50: 0.0825, 100: 0.1355},
    655373: {1: 0.0043, 5: 0.0097, 10: 0.0158, 20: 0.0270, 50: 0.0591, 100: 0.1105},
}

BUILD_MS = {65537: 1.8, 655373: 22.9}
