#!/usr/bin/env python3
"""Fits a table of costs to a published sweep of total tokens/s by concurrency and draft length.

The sweep without drafts gives a step's time at its rows outright (concurrency / total tokens/s). The time at more
rows, and acceptances that fall from slot to slot by a constant factor, are fitted to the rest, by the least squares
of logarithms. Two things are assumed: that a request costs no more than its rows, and what a draft costs, since
longer answers of dearer drafts give the same totals.

usage: fit_curve.py SWEEP.json > CURVE.json
SWEEP.json: {"source", "lengths": [0, 1, ...], "totals": {"CONCURRENCY": [tokens/s, ...]}, "draft_share": a draft's
part of a step of as many rows as requests}
"""

import json
import math
import random
import sys

TRIES, STEPS = 6, 6000


class Model:
    def __init__(self, sweep):
        lengths = sweep["lengths"]
        self.cells = [(int(c), k, value) for c, row in sweep["totals"].items()
                      for k, value in zip(lengths, row)]
        self.draft_share = sweep["draft_share"]
        self.known = sorted((c, 1e3 * c / value) for c, k, value in self.cells if k == 0)
        most = max(c * (k + 1) for c, k, _ in self.cells)
        self.free = []  # rows of the points that are fitted
        while not self.free or self.free[-1] < most:
            self.free.append(2 * (self.free or [self.known[-1][0]])[-1])

    def start(self):
        rows, ms = self.known[-1]
        return [0.8, 0.9] + [math.log(2) * 0.6] * len(self.free)

    def points(self, x):
        """The curve: what is known, then one point a doubling, by what each adds (never less than nothing)."""
        points = list(self.known)
        for rows, growth in zip(self.free, x[2:]):
            points.append((rows, points[-1][1] * math.exp(abs(growth))))
        return points

    @staticmethod
    def at(points, rows):
        for (low, a), (high, b) in zip(points, points[1:]):
            if rows <= high:
                break
        return a + (b - a) * (rows - low) / (high - low)

    def tokens_per_s(self, x, points, concurrency, length):
        first, falling = x[:2]
        tau = 1 + sum(math.prod(first * falling**i for i in range(j)) for j in range(1, length + 1))
        ms = self.at(points, concurrency * (length + 1))
        if length:
            ms += self.draft_share * self.at(points, concurrency)
        return 1e3 * concurrency * tau / ms

    def error(self, x):
        if not (0 < x[0] < 1 and 0 < x[1] <= 1):
            return math.inf
        points = self.points(x)
        return sum(math.log(self.tokens_per_s(x, points, c, k) / value)**2 for c, k, value in self.cells if k)


def fit(model):
    best, least = None, math.inf
    for seed in range(TRIES):
        draw, size = random.Random(seed), 0.3
        x = model.start()
        error = model.error(x)
        for _ in range(STEPS):
            other = [value * math.exp(draw.gauss(0, size)) if draw.random() < 0.4 else value for value in x]
            now = model.error(other)
            if now < error:
                x, error, size = other, now, min(0.5, 1.2 * size)
            else:
                size = max(1e-4, 0.997 * size)
        if error < least:
            best, least = x, error
    return best, least


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        sweep = json.load(file)
    model = Model(sweep)
    x, error = fit(model)
    points = model.points(x)
    drafted = [cell for cell in model.cells if cell[1]]
    longest = max(sweep["lengths"])
    print(json.dumps({
        "source": sweep["source"],
        "fit": {
            "acceptance": ",".join(f"{x[0] * x[1]**j:.3f}" for j in range(longest)),
            "rms_of_logarithms": round(math.sqrt(error / len(drafted)), 4),
            "published_and_fitted": [[c, k, value, round(model.tokens_per_s(x, points, c, k))]
                                     for c, k, value in drafted],
        },
        "rows": [[rows, round(ms, 3)] for rows, ms in points],
        "drafts": [[rows, round(model.draft_share * ms, 3)] for rows, ms in points],
    }, indent=1))


main()
