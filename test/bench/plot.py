#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Draws docs/maglev-evenness.svg and docs/maglev-disruption.svg from what test/bench/run measured.

    test/bench/plot.py RESULTS.json FOLDER
"""

import json
import math
import pathlib
import sys

import paper

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 56, 56
INK, GRID = "#333333", "#dddddd"
COLOURS = {65537: "#1f6fb4", 655373: "#c8511b"}
HASH_COLOURS = {"fluxpin": "#1f6fb4", "Maglev": "#7fb2dc", "Karger": "#b0b0b0", "Rendezvous": "#707070"}


class Picture:
    """An SVG file of shapes, in pixels from the upper left corner."""

    def __init__(self, title, subtitle):
        self.shapes = []
        self.text(LEFT, 24, title, size=16, weight="bold")
        self.text(LEFT, 42, subtitle, size=12)

    def add(self, tag, content=None, **attributes):
        fields = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
        self.shapes.append(f"<{tag}{fields}/>" if content is None else f"<{tag}{fields}>{content}</{tag}>")

    def text(self, x, y, content, size=12, anchor="start", weight="normal"):
        content = content.replace("&", "&amp;").replace("<", "&lt;")
        self.add("text", content, x=round(x, 1), y=round(y, 1), font_size=size, text_anchor=anchor,
                 font_weight=weight, fill=INK)

    def line(self, x1, y1, x2, y2, colour=INK, width=1, dash=""):
        self.add("line", x1=round(x1, 1), y1=round(y1, 1), x2=round(x2, 1), y2=round(y2, 1),
                 stroke=colour, stroke_width=width, **({"stroke_dasharray": dash} if dash else {}))

    def rectangle(self, x, y, width, height, colour):
        self.add("rect", x=round(x, 1), y=round(y, 1), width=round(width, 1), height=round(height, 1),
                 fill=colour)

    def polyline(self, points, colour, dash=""):
        self.add("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), fill="none",
                 stroke=colour, stroke_width=2, **({"stroke_dasharray": dash} if dash else {}))

    def circle(self, x, y, colour, filled=True):
        self.add("circle", cx=round(x, 1), cy=round(y, 1), r=4, stroke=colour, stroke_width=2,
                 fill=colour if filled else "white")

    def write(self, path):
        path.write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif">\n'
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n'
            + "\n".join(self.shapes) + "\n</svg>\n")


def bottom():
    return HEIGHT - BOTTOM


def draw_evenness(results):
    """How far the backend with most slots lies above the average, as bars."""
    picture = Picture("Evenness: slots of the largest share above the average",
                      f"{paper.BACKENDS} backends; Karger and Rendezvous: figure 11 of the Maglev paper")
    top = 0.55

    def y(share):
        return bottom() - share / top * (bottom() - TOP)

    for tick in (0, 0.1, 0.2, 0.3, 0.4, 0.5):
        picture.line(LEFT, y(tick), WIDTH - RIGHT, y(tick), GRID)
        picture.text(LEFT - 8, y(tick) + 4, f"{100 * tick:.0f} %", anchor="end")
    group = (WIDTH - LEFT - RIGHT) / len(paper.SIZES)
    for i, size in enumerate(paper.SIZES):
        shares = {"fluxpin": results["maglev"][str(size)]["1"]["max_over_average"] - 1,
                  **paper.OVER_PROVISION[size]}
        bar = group / (len(shares) + 1.5)
        for j, (name, share) in enumerate(shares.items()):
            x = LEFT + i * group + (j + 0.75) * bar
            picture.rectangle(x, y(share), bar * 0.8, bottom() - y(share), HASH_COLOURS[name])
            picture.text(x + bar * 0.4, y(share) - 6, f"{100 * share:.1f} %", anchor="middle")
            picture.text(x + bar * 0.4, bottom() + 16,
                         name if name != "Maglev" else "expected", anchor="middle", size=11)
        picture.text(LEFT + (i + 0.5) * group, bottom() + 38, f"M = {size}", anchor="middle",
                     weight="bold")
    picture.line(LEFT, bottom(), WIDTH - RIGHT, bottom())
    return picture


def draw_disruption(results):
    """Share of slots that change, over the number of backends removed; both logarithmic."""
    runs = results["maglev"][str(paper.SIZES[0])]["1"]["runs"]
    picture = Picture("Disruption: slots that change when random backends are removed",
                      f"{paper.BACKENDS} backends, mean of {runs} runs")
    left, right, low, high = math.log10(0.8), math.log10(130), math.log10(0.0008), math.log10(0.2)

    def x(removed):
        return LEFT + (math.log10(removed) - left) / (right - left) * (WIDTH - LEFT - RIGHT)

    def y(share):
        return bottom() - (math.log10(share) - low) / (high - low) * (bottom() - TOP)

    for tick in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2):
        picture.line(LEFT, y(tick), WIDTH - RIGHT, y(tick), GRID)
        picture.text(LEFT - 8, y(tick) + 4, f"{100 * tick:g} %", anchor="end")
    for removed in paper.REMOVED:
        picture.line(x(removed), TOP, x(removed), bottom(), GRID)
        picture.text(x(removed), bottom() + 18, str(removed), anchor="middle")
    picture.text((LEFT + WIDTH - RIGHT) / 2, bottom() + 38, "backends removed", anchor="middle")
    picture.line(LEFT, bottom(), WIDTH - RIGHT, bottom())
    picture.polyline([(x(k), y(k / paper.BACKENDS)) for k in paper.REMOVED], "#888888", "5,4")
    picture.text(x(10) + 12, y(0.007), "unavoidable: the removed backends' own slots")
    for i, size in enumerate(paper.SIZES):
        measured = results["maglev"][str(size)]
        points = [(x(k), y(measured[str(k)]["changed_share"])) for k in paper.REMOVED]
        picture.polyline(points, COLOURS[size])
        for px, py in points:
            picture.circle(px, py, COLOURS[size])
        for k in paper.REMOVED:
            picture.line(x(k) - 9, y(paper.CHANGED[size][k]), x(k) + 9, y(paper.CHANGED[size][k]))
        picture.circle(LEFT + 20, TOP + 16 + 20 * i, COLOURS[size])
        picture.text(LEFT + 34, TOP + 20 + 20 * i, f"fluxpin, M = {size}")
    picture.line(LEFT + 11, TOP + 56, LEFT + 29, TOP + 56)
    picture.text(LEFT + 34, TOP + 60, "expected: simulation of the paper's algorithm")
    return picture


def draw(results, folder):
    """Writes both pictures."""
    draw_evenness(results).write(folder / "maglev-evenness.svg")
    draw_disruption(results).write(folder / "maglev-disruption.svg")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: test/bench/plot.py RESULTS.json FOLDER")
    draw(json.loads(pathlib.Path(sys.argv[1]).read_text()), pathlib.Path(sys.argv[2]))
