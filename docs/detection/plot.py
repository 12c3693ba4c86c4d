"""Small charts as SVG text."""

import math
from html import escape

BLUE, ORANGE, RED, GREEN, GREY, INK = "#2563a8", "#c2630a", "#b3202c", "#2d7d46", "#9aa3ad", "#1f2429"


class Picture:
    def __init__(self, title, width=860, height=330):
        self.width, self.height = width, height
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
            f'font-size="13" fill="{INK}" role="img"><title>{escape(title)}</title>',
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
        ]
        self.text(16, 24, title, size=15, weight="bold")

    def text(self, x, y, text, anchor="start", colour=INK, size=13, weight="normal"):
        self.parts.append(
            f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}" '
            f'font-weight="{weight}">{escape(text)}</text>'
        )

    def save(self, path):
        path.write_text("\n".join([*self.parts, "</svg>", ""]), encoding="utf-8")


class Chart:
    """Axes in a picture; `log` names the axes that are logarithmic."""

    def __init__(self, picture, x, y, at=(70, 66, 760, 214), log=""):
        self.picture, self.at, self.log = picture, at, log
        self.scale = {"x": [self.form("x", v) for v in x], "y": [self.form("y", v) for v in y]}
        self.legend_at = at[0]

    def form(self, axis, value):
        return math.log10(max(value, 1e-12)) if axis in self.log else value

    def place(self, x, y):
        left, top, width, height = self.at
        (x0, x1), (y0, y1) = self.scale["x"], self.scale["y"]
        across = (self.form("x", x) - x0) / (x1 - x0)
        up = min(max((self.form("y", y) - y0) / (y1 - y0), 0), 1)
        return left + width * across, top + height * (1 - up)

    def raw(self, text):
        self.picture.parts.append(text)

    def axes(self, xs, ys, xname="", yname=""):
        """Ticks are (value, text)."""
        left, top, width, height = self.at
        for value, text in ys:
            _, y = self.place(0, value) if "x" not in self.log else self.place(1, value)
            self.raw(f'<path d="M{left} {y:.1f}h{width}" stroke="#e3e6ea"/>')
            self.picture.text(left - 8, y + 4, text, "end")
        for value, text in xs:
            x, _ = self.place(value, 1)
            self.raw(f'<path d="M{x:.1f} {top + height}v5" stroke="{GREY}"/>')
            self.picture.text(x, top + height + 20, text, "middle")
        self.raw(f'<path d="M{left} {top + height}h{width}" stroke="{GREY}"/>')
        if xname:
            self.picture.text(left + width, top + height + 40, xname, "end", "#5a636c")
        if yname:
            self.picture.text(16, top - 16, yname, colour="#5a636c")
            self.legend_at = 16 + int(6.9 * len(yname))

    def path(self, points):
        text = ""
        for x, y in points:
            x, y = self.place(x, y)
            text += f"{'L' if text else 'M'}{x:.1f} {y:.1f}".replace(".0", "")
        return text

    def line(self, points, colour=BLUE, width=1.6, dash=""):
        dash = f' stroke-dasharray="{dash}"' if dash else ""
        self.raw(f'<path d="{self.path(points)}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>')

    def area(self, upper, lower, colour=BLUE, opacity=0.15):
        points = [*upper, *reversed(lower)]
        self.raw(f'<path d="{self.path(points)}Z" fill="{colour}" opacity="{opacity}"/>')

    def bars(self, bars, colour=BLUE, opacity=1.0):
        """Each bar is (from, to, height)."""
        text = ""
        for start, end, height in bars:
            (x0, y), (x1, base) = self.place(start, height), self.place(end, self.scale["y"][0])
            if base - y >= 0.3:
                text += f"M{x0:.1f} {base:.1f}V{y:.1f}H{x1:.1f}V{base:.1f}Z"
        self.raw(f'<path d="{text}" fill="{colour}" opacity="{opacity}"/>')

    def dots(self, points, colour=BLUE, radius=2.2, opacity=0.5):
        places = {tuple(round(v) for v in self.place(x, y)) for x, y in points}
        text = "".join(f"M{x} {y}h0" for x, y in sorted(places))
        self.raw(
            f'<path d="{text}" stroke="{colour}" stroke-width="{2 * radius}" stroke-linecap="round" opacity="{opacity}"/>'
        )

    def span(self, start, end, colour=RED, opacity=0.1):
        (x0, _), (x1, _) = self.place(start, 1), self.place(end, 1)
        self.raw(
            f'<rect x="{x0:.1f}" y="{self.at[1]}" width="{x1 - x0:.1f}" height="{self.at[3]}" fill="{colour}" '
            f'opacity="{opacity}"/>'
        )

    def mark(self, x, colour=RED, text="", dash="4 3", up=6):
        x, _ = self.place(x, 1)
        self.raw(f'<path d="M{x:.1f} {self.at[1]}v{self.at[3]}" stroke="{colour}" stroke-dasharray="{dash}"/>')
        if text:
            self.picture.text(x + 5, self.at[1] + up + 8, text, colour=colour)

    def legend(self, *entries, up=16):
        """Entries are (text, colour, kind) with a kind of line, dash, bar or dot."""
        y = self.at[1] - up
        for text, colour, kind in entries:
            x = self.legend_at + 28
            if kind == "bar":
                self.raw(f'<rect x="{x}" y="{y - 10}" width="20" height="11" fill="{colour}" opacity="0.5"/>')
            elif kind == "dot":
                self.raw(f'<circle cx="{x + 12}" cy="{y - 5}" r="4" fill="{colour}"/>')
            else:
                dash = ' stroke-dasharray="4 3"' if kind == "dash" else ""
                self.raw(f'<path d="M{x} {y - 4}h22" stroke="{colour}" stroke-width="2"{dash}/>')
            self.picture.text(x + 28, y, text)
            self.legend_at += 54 + int(6.9 * len(text))
