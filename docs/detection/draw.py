"""Draws the pictures of `docs/detection.md` from a run of the program: `python3 docs/detection/draw.py`.

A fleet of fixed seed is simulated and judged; scores, alerts and bands are the program's, expectations and histograms
are computed anew by the documented formulae (`learn.py`). Running it again changes nothing unless the program has changed.
"""

import csv
import gzip
import json
import math
import shlex
import subprocess
import sys
import tempfile
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path

from learn import DAY, HOUR, Running, Series, calls_of_an_hour, raised_of, learn, log_ratio, mean, median
from learn import odds as watched
from plot import BLUE, GREEN, GREY, INK, ORANGE, RED, Chart, Picture

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def table(path):
    opened = gzip.open(path, "rt") if path.suffix == ".gz" else open(path, encoding="utf-8")
    with opened as lines:
        return list(csv.DictReader(lines))


class Fleet:
    def __init__(self, program, folder):
        self.program = program
        subprocess.run([*program, "simulate", "--series", folder, "--track", "fleet", "--seed", "1",
                        "--deployments", "24"], cwd=ROOT, check=True)
        subprocess.run([*program, "backtest", "--data", folder, "--track", "fleet", "--min-score", "0.2",
                        "--out", folder / "alerts.csv"], cwd=ROOT, check=True)
        rows, self.judged = defaultdict(dict), defaultdict(dict)
        for row in table(folder / "fleet.csv.gz"):
            tokens = float(row["tokens_in"]) + float(row["tokens_out"])
            rows[row["series"]][int(row["slot"])] = float(row["requests"]), tokens, float(row["callers"])
        for row in table(folder / "alerts.csv"):
            self.judged[row["series"]][int(row["timestamp"]) // 300 - 1] = row
        self.attacks = defaultdict(list)
        for row in table(folder / "fleet_labels.csv"):
            span = int(row["start"]) // 300, int(row["end"]) // 300
            self.attacks[row["series"]].append((*span, row["type"]))
        self.series = {name: Series(name, slots, self.alerts(name)) for name, slots in rows.items()}
        self.together = learn(list(self.series.values()), 35 * DAY)

    def alerts(self, name):
        return {slot for slot, row in self.judged[name].items() if float(row["score"]) >= 1}

    def attack(self, name, kind):
        return next((start, end) for start, end, known in self.attacks[name] if known == kind)

    def explained(self, series, moments):
        """What the program says of single values at each of these moments."""
        asked = ["explain", "--data", "tests/data/detection", "--track", "msft", "--series", series, "--alerts-per-week", "0.5",
                 "--format", "json", "--at"]
        for moment in moments:
            told = subprocess.run([*self.program, *asked, moment], cwd=ROOT, check=True, capture_output=True).stdout
            yield json.loads(told)

    def span(self, name, first, last):
        """A deployment whose lists begin with slot 0, and the slots that a picture shows."""
        series = self.series[name]
        assert series.start == 0, f"{name} has no calls in its first slot"
        return series, range(first, last)


def days(first, last, step=1):
    return [(day * DAY, f"day {day}") for day in range(first, last + 1, step)]


def hours(first, last, step):
    return [(slot, f"{slot % DAY // HOUR:02}:00") for slot in range(first - first % HOUR, last, step * HOUR) if slot >= first]


def numbers(top, steps=4):
    """Ticks from 0 to at least nearly `top`."""
    step = 10 ** math.floor(math.log10(top / steps))
    step = next(step * factor for factor in (1, 2, 5, 10) if step * factor * steps >= top * 0.95)
    return [(step * n, short(step * n)) for n in range(int(top / step) + 1)]


def short(value):
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:g}{letter}"
    return f"{value:g}"


def by_hour(values, slots):
    return [(s, s + HOUR, sum(values[s : s + HOUR])) for s in range(slots.start, slots.stop, HOUR)]


def middles(bars):
    return [((start + end) / 2, value) for start, end, value in bars]


def rhythm(fleet):
    series, slots = fleet.span("dep-013", 14 * DAY, 21 * DAY)
    seen, plain, high = (by_hour(v, slots) for v in (series.calls, series.plain, series.high))
    picture = Picture("A week: calls seen and expected")
    top = max(value for _, _, value in seen) * 1.05
    chart = Chart(picture, (slots.start, slots.stop), (0, top))
    chart.axes(days(14, 21), numbers(top), yname="calls an hour")
    chart.bars(seen, BLUE, 0.35)
    chart.line(middles(plain), GREY, dash="4 3")
    chart.line(middles(high), ORANGE, 2)
    chart.legend(("seen", BLUE, "bar"), ("profile of the hour of the week", GREY, "dash"),
                 ("profile × level: expected", ORANGE, "line"))
    return picture


def levels(fleet):
    series, slots = fleet.span("dep-017", 26 * DAY, 33 * DAY)
    seen, high, low = (by_hour(v, slots) for v in (series.calls, series.high, series.low))
    picture = Picture("A launch: traffic grows to 2.4 times over two days and stays")
    top = max(value for _, _, value in seen) * 1.05
    chart = Chart(picture, (slots.start, slots.stop), (0, top))
    chart.axes(days(26, 33), numbers(top), yname="calls an hour")
    chart.span(*fleet.attack("dep-017", "growth"), GREEN)
    chart.bars(seen, BLUE, 0.3)
    chart.line(middles(high), ORANGE, 2)
    chart.line(middles(low), RED, 1.6, "5 3")
    chart.legend(("seen", BLUE, "bar"), ("expected where a rise is looked for", ORANGE, "line"),
                 ("where a fall is looked for", RED, "dash"))
    return picture


def edges(_):
    """Two made deployments with forty calls a slot, one of which opens and closes when it will."""
    picture = Picture("The edges of work, after three weeks of it", height=500)
    for varies, top in ((0, 70), (9, 290)):
        opens = lambda day: range(8 * HOUR + day * 7 % 19 * varies // 9 - varies, 18 * HOUR + day * 5 % 19 * varies // 9 - varies)
        calls = lambda slot: 40 + slot * 7 % 9 - 4 if slot % DAY in opens(slot // DAY) else 0
        series = Series("made", {slot: (calls(slot), 0, 0) for slot in range(8 * HOUR, 22 * DAY)}, {})
        learn([series], 22 * DAY)
        slots = range(21 * DAY + 5 * HOUR, 21 * DAY + 21 * HOUR)
        of = lambda values: [(slot + 0.5, values[slot - series.start]) for slot in slots]
        chart = Chart(picture, (slots.start, slots.stop), (0, 60), at=(70, top, 760, 150))
        chart.axes(hours(slots.start, slots.stop + 1, 2), numbers(60), yname="calls")
        chart.bars([(at - 0.5, at + 0.5, value) for at, value in of(series.calls)], BLUE, 0.35)
        chart.line(of(series.high), ORANGE, 2)
        chart.line(of(series.low), RED, 1.6, "5 3")
        if varies == 0:
            chart.legend(("seen", BLUE, "bar"), ("expected where a rise is looked for", ORANGE, "line"),
                         ("where a fall is looked for", RED, "dash"))
    picture.text(70, 278, "the same work, begun and ended up to 45 minutes earlier or later")
    return picture


def shape(_):
    """A made job that runs for ten minutes of each hour, with a little between."""
    picture = Picture("Ten minutes of every hour, after three weeks of it")
    calls = lambda slot: 40 + slot * 7 % 9 - 4 if slot % HOUR in (4, 5) else slot * 5 % 3
    series = Series("made", {slot: (calls(slot), 0, 0) for slot in range(22 * DAY)}, {})
    learn([series], 22 * DAY)
    slots = range(21 * DAY + 8 * HOUR, 21 * DAY + 13 * HOUR)
    chart = Chart(picture, (slots.start, slots.stop), (0, 60))
    chart.axes(hours(slots.start, slots.stop + 1, 1), numbers(60), yname="calls")
    chart.bars([(slot, slot + 1, series.calls[slot]) for slot in slots], BLUE, 0.35)
    chart.line([(slot + 0.5, series.plain[slot]) for slot in slots], GREY, dash="4 3")
    chart.line([(slot + 0.5, series.high[slot]) for slot in slots], ORANGE, 2)
    chart.legend(("seen", BLUE, "bar"), ("by the profile of hours alone", GREY, "dash"), ("expected", ORANGE, "line"))
    return picture


def calibration(fleet):
    picture = Picture("Own calibration: log ratios of an hour's calls, 28 days", height=520)
    for name, kind, top in (("dep-013", "calm", 70), ("dep-005", "bursty", 310)):
        series = fleet.series[name]
        _, histogram = calls_of_an_hour(series)
        bins = histogram.whole()
        total = sum(bins)
        _, low, middle, high = histogram.spreads[4]
        chart = Chart(picture, (-2, 3), (0, max(bins) / total * 1.1), at=(70, top, 760, 150))
        ratios = [(math.log(x), f"×{x:g}") for x in (0.2, 0.5, 1, 2, 5, 10, 20)]
        chart.axes(ratios, [], xname="seen ÷ expected" if kind == "bursty" else "")
        chart.bars([(-3 + n / 16, -3 + (n + 1) / 16, b / total) for n, b in enumerate(bins) if 16 <= n], BLUE, 0.5)
        for value in (low, middle, high):
            chart.mark(value, INK, dash="2 3")
        spread = max(high - middle, 0.4)
        for score in (1, 2, 3):
            if middle + score * spread < 3:
                chart.mark(middle + score * spread, RED, f"score {score}", up=4 + 14 * score)
        chart.picture.text(70, top - 8, f"{kind}: 0.5, 50 and 99.5 % at ×{math.exp(low):.2f}, ×{math.exp(middle):.2f} "
                           f"and ×{math.exp(high):.2f}")
    return picture


def own(fleet):
    picture = Picture("The largest score of each day (calls of an hour)")
    chart = Chart(picture, (7, 35), (0, 5))
    chart.axes([(d, f"day {d}") for d in range(7, 36, 7)], [(n, str(n)) for n in range(0, 6)], yname="spreads")
    for name, kind, colour in (("dep-013", "calm", BLUE), ("dep-005", "bursty", ORANGE)):
        series, largest = fleet.series[name], defaultdict(float)
        windows, _ = calls_of_an_hour(series)
        for slot, seen, expected, floor, spread, _ in windows:
            if spread and slot not in series.frozen:
                raw = (log_ratio(seen, expected, floor) - spread[2]) / max(spread[3] - spread[2], 0.4)
                largest[slot // DAY] = max(largest[slot // DAY], raw)
        chart.dots([(day + 0.5, score) for day, score in largest.items() if day >= 7], colour, 4, 0.9)
        steps, upper = [], []
        for day in range(7, 35):
            past = sorted(largest[d] for d in range(max(day - 21, 4), day))
            middle = median(past)
            half = [v - middle for v in past[::-1][: len(past) // 2]]
            spread = max((mean(half) * len(past) + 0.4 * 3) / (len(past) + 3), 0.4) if len(past) > 3 else 0.4
            middle = max(middle, 1.2)
            steps += [(day, middle), (day + 1, middle)]
            upper += [(day, middle + 2 * spread), (day + 1, middle + 2 * spread)]
        chart.line(steps, colour, 2)
        chart.line(upper, colour, 1.4, "4 3")
        chart.legend((kind, colour, "dot"), ("middle", colour, "line"), ("middle + 2 spreads", colour, "dash"))
    return picture


def spike(fleet):
    start, end = fleet.attack("dep-002", "night_abuse")
    series, slots = fleet.span("dep-002", start - 15 * HOUR, min(start + 5 * HOUR, 35 * DAY))
    windows = [w for w in calls_of_an_hour(series)[0] if w[0] in slots]
    top = max(w[1] for w in windows) * 1.05
    picture = Picture("The start of an attack by night: calls of the last hour")
    chart = Chart(picture, (slots.start, slots.stop), (0, top))
    chart.axes(hours(slots.start, slots.stop, 2), numbers(top), yname="calls in the hour before")
    chart.span(start, min(end, slots.stop))
    rhythm = Running(series.high)
    upper = [(s, (e + f) * math.exp(q[2] + max(q[3] - q[2], 0.4)) - f) for s, _, e, f, q, _ in windows]
    chart.area(upper, [(slots.start, 0), (slots.stop - 1, 0)], ORANGE, 0.12)
    chart.line([(s, rhythm(s + 1 - HOUR, s + 1)) for s in slots], GREY, 1.6, "4 3")
    chart.line([(s, e) for s, _, e, _, _, _ in windows], ORANGE, 2)
    chart.line([(s, v) for s, v, _, _, _, _ in windows], BLUE, 2)
    fired = [slot for slot in sorted(fleet.alerts("dep-002")) if slot >= start]
    if fired:
        chart.mark(fired[0], RED, "alert")
    chart.legend(("seen", BLUE, "line"), ("rhythm", GREY, "dash"), ("at the level of the last hours", ORANGE, "line"),
                 ("one spread above", ORANGE, "bar"))
    return picture


def distance(fleet):
    """A series of Microsoft's: crashes of an application an hour, on nine days."""
    name, first, count = "application-crash-rate-1/app1-05.csv", datetime(2018, 6, 30), 9 * 24
    labels = {row["timestamp"]: row["label"] == "1" for row in table(ROOT / "tests/data/detection/msft.csv.gz") if row["series"] == name}
    moments = [str(first + timedelta(hours=hour)) for hour in range(count)]
    told = [(hour, says, says["parts"]) for hour, says in enumerate(fleet.explained(name, moments))]
    # The first part is the highest: of a slot that is not odd any, so it is looked for by its finite upper end.
    risen = lambda parts: next(part for part in parts if part["part"] == "calls" and part["high"] is not None)
    picture = Picture("Crashes of an application, hour by hour, and what an alert takes at 0.5 a week")
    chart = Chart(picture, (0, count), (0, 400))
    chart.axes([(hour, (first + timedelta(hours=hour)).strftime("%-d %b")) for hour in range(0, count, 24)], numbers(400), yname="crashes an hour")
    for hour, moment in enumerate(moments):
        if labels[moment]:
            chart.span(hour, hour + 1)
    chart.bars([(hour, hour + 1, risen(parts)["observed"]) for hour, _, parts in told], BLUE, 0.6)
    chart.line([(hour + 0.5, risen(parts)["expected"]) for hour, _, parts in told], ORANGE, 1.6)
    chart.line([(hour + 0.5, min(risen(parts)["high"], 400)) for hour, _, parts in told], GREY, 1.6, "4 3")
    chart.dots([(hour + 0.5, 392) for hour, says, _ in told if says["fires"]], RED, 3, 1)
    chart.legend(("seen", BLUE, "bar"), ("expected", ORANGE, "line"), ("what an alert takes", GREY, "dash"), ("alert", RED, "dot"))
    return picture


def concentration(fleet):
    picture = Picture("Callers against calls, by slot of five minutes", height=400)
    place = 16
    for name, kind, colour, text, limits in (
        ("dep-023", "night_abuse", RED, "a thief", ((0.8, 60), (0.8, 30))),
        ("dep-001", "caller_surge", GREEN, "a resold key", ((0.8, 150), (0.8, 150))),
    ):
        series, span = fleet.series[name], fleet.attack(name, kind)
        steps, usual = defaultdict(lambda: [0, 0.0]), []
        for slot in range(span[0] - series.start):
            calls, callers = series.calls[slot], series.callers[slot]
            if calls > 0 and callers > 0 and slot not in series.frozen:
                step = steps[int(2 * math.log2(max(calls, 1)))]
                step[0], step[1] = step[0] + 1, step[1] + callers
                usual.append((calls, callers))
        curve = sorted((2 ** ((step + 0.5) / 2), total / n) for step, (n, total) in steps.items() if n >= 4)
        # Beyond the last step as it rose over three steps before, and at most as calls do.
        (x0, y0), (x1, y1) = curve[-4], curve[-1]
        slope = min(max(math.log(y1 / y0) / math.log(x1 / x0), 0), 1)
        right = limits[0][1]
        chart = Chart(picture, *limits, at=(place + 44, 76, 355, 264), log="xy")
        ticks = [(v, f"{v:,}") for v in (1, 3, 10, 30, 100)]
        chart.axes([t for t in ticks if t[0] < right], [t for t in ticks if t[0] < limits[1][1]], "calls")
        chart.dots(usual, BLUE, 1.8, 0.4)
        attacked = range(span[0] - series.start, span[1] - series.start)
        chart.dots([(series.calls[s], series.callers[s]) for s in attacked if series.calls[s]], colour, 3, 0.8)
        chart.line(curve, ORANGE, 2.2)
        chart.line([(x1, y1), (right, y1 * (right / x1) ** slope)], ORANGE, 2, "5 4")
        chart.legend_at = place
        chart.legend(("usual", BLUE, "dot"), (text, colour, "dot"), ("expected", ORANGE, "line"))
        place += 425
    return picture


def wallet(fleet):
    start, end = fleet.attack("dep-016", "wallet")
    series, slots = fleet.span("dep-016", start - 2 * DAY, min(start + DAY, 35 * DAY))
    calls, tokens = Running(series.calls), Running(series.tokens)
    points, week = [], []
    for slot in slots:
        stop = slot + 1
        since = stop - stop % HOUR
        week.append((slot, tokens(since - 7 * DAY, since) / calls(since - 7 * DAY, since)))
        if (made := calls(stop - HOUR, stop)) > 0:
            points.append((slot, tokens(stop - HOUR, stop) / made))
    picture = Picture("Longer calls: tokens per call in an hour")
    chart = Chart(picture, (slots.start, slots.stop), (200, 30_000), log="y")
    chart.axes(hours(slots.start, slots.stop, 12), [(v, short(v)) for v in (300, 1_000, 3_000, 10_000, 30_000)],
               yname="tokens per call")
    chart.span(start, end)
    chart.line(week[::HOUR], ORANGE, 2)
    chart.line(points[::2], BLUE, 1.6)
    fired = [slot for slot in sorted(fleet.alerts("dep-016")) if slot >= start]
    if fired:
        chart.mark(fired[0], RED, "alert")
    chart.legend(("seen", BLUE, "line"), ("mean of the week before", ORANGE, "line"))
    return picture


def most(fleet):
    name = "dep-005"
    start, end = fleet.attack(name, "spike_x50")
    series, tokens = fleet.series[name], Running(fleet.series[name].tokens)
    offset = series.start
    first, last = start - 10 * DAY - start % DAY, start - start % DAY + 3 * DAY
    hour = [(s + offset, tokens(s + 1 - HOUR, s + 1)) for s in range(first - offset, last - offset)]
    largest, second = [], []
    for day in range(first // DAY - 21, last // DAY):
        spared = [tokens(s + 1 - HOUR, s + 1) for s in range(day * DAY, (day + 1) * DAY) if s not in series.frozen]
        largest.append((day, max(spared, default=0)))
        if day * DAY >= first:
            past = sorted(value for d, value in largest[:-1] if 0 <= d and d >= day - 21)
            second += [(day * DAY + offset, past[-2]), ((day + 1) * DAY, past[-2])]
    top = max(value for _, value in hour) * 1.05
    picture = Picture("A batch client: tokens of the last hour against the most there was")
    chart = Chart(picture, (first, last), (1_000, top * 1.3), log="y")
    chart.axes(days(first // DAY, last // DAY, 2), [(v, short(v)) for v in (1e3, 1e4, 1e5, 1e6) if v < top * 1.3],
               yname="tokens in an hour")
    chart.span(start, end, RED, 0.25)
    chart.line(hour[::4], BLUE, 1.1)
    chart.line(second, ORANGE, 2)
    floor = 0.25 * mean([v for v in series.tokens[: 14 * DAY]]) * HOUR + 600
    chart.line([(x, (y + floor) * math.exp(0.8) - floor) for x, y in second], RED, 1.6, "5 3")
    chart.legend(("seen", BLUE, "line"), ("second largest of 21 days: score 1", ORANGE, "line"), ("score 3", RED, "dash"))
    return picture


def raised(fleet):
    picture = Picture("A level raised for days, by own spreads", height=360)
    chart = Chart(picture, (17, 35), (-3, 9), at=(70, 72, 760, 230))
    chart.axes([(d, f"day {d}") for d in range(17, 36, 3)], [(n, f"{n}") for n in (-2, 0, 2, 4, 6, 8)], yname="own spreads")
    lines = (("dep-004", lambda day: 1.03 ** max(day - 21, 0), RED, "3 % more every day from day 21"),
             ("dep-004", lambda day: 1.3 if 26 <= day < 29 else 1.0, ORANGE, "30 % more on three days"),
             ("dep-004", lambda day: 1.0, BLUE, "neither"))
    for name, more, colour, text in lines:
        calls = [value * more(slot / DAY) for slot, value in enumerate(fleet.series[name].calls)]
        chart.line(raised_of(calls), colour, 1.8)
        chart.legend((text, colour, "line"))
    return picture


def silence(fleet):
    start, end = fleet.attack("dep-018", "outage")
    series, _ = fleet.span("dep-018", 0, 1)
    first, last = start - 3 * DAY, end + DAY
    run = longest = 0.0
    runs, excuse = [], []
    for slot in range(last):
        if series.calls[slot] > 0:
            longest = max(longest * 0.9999, 0.0 if slot in series.frozen or slot - 1 in series.frozen else run)
            run = 0.0
        else:
            run += series.low[slot]
        if slot >= first:
            if 0 in series.calls[slot - 1 : slot + 2]:
                runs.append((slot, run))
            excuse.append((slot, max(longest, 4.0)))
    top = max(value for _, value in runs) * 1.05
    picture = Picture("Silence: calls expected since the last one")
    chart = Chart(picture, (first, last), (0.3, top * 1.5), log="y")
    chart.axes(hours(first, last, 12), [(v, short(v)) for v in (1, 10, 100, 1_000) if v < top * 1.5], yname="calls missed")
    chart.span(start, end)
    chart.line(runs, BLUE, 1.4)
    chart.line(excuse[::72], ORANGE, 2)
    fired = [slot for slot in sorted(fleet.alerts("dep-018")) if start <= slot <= end]
    if fired:
        chart.mark(fired[0], RED, "alert")
    chart.legend(("missed so far", BLUE, "line"), ("longest silence before, at least 4: score 1", ORANGE, "line"))
    return picture


def odds(fleet):
    """A thief of three callers and a burst that brings its callers, on the same quiet slots of one deployment."""
    series, first = fleet.series["dep-013"], 20 * DAY + 8 * HOUR
    slots, usual = range(first, first + 10 * HOUR), series.usual_of[first]
    attack = range(first + 4 * HOUR, first + 5 * HOUR)

    def line(by_callers):
        told = []
        for slot in range(first - 2 * DAY, slots.stop):
            more = 2 * usual if slot in attack else 0
            told.append((series.calls[slot] + more, series.high[slot], usual, by_callers if more else lambda _: 0.0))
        return list(zip(slots, watched(told)[2 * DAY :]))

    lines = ((line(lambda _: 2.0), RED, "from few callers"),
             (line(lambda _: 0.0), ORANGE, "callers not known"),
             (line(lambda _: -2.0), BLUE, "a burst that brings its callers"))
    top = max(value for points, _, _ in lines for _, value in points) * 1.1
    picture = Picture("Odds of a rise: calls of an hour to three times the usual")
    chart = Chart(picture, (slots.start, slots.stop), (0, top))
    chart.axes(hours(slots.start, slots.stop, 1), numbers(top), yname="ln R")
    chart.span(attack.start, attack.stop)
    for points, colour, text in lines:
        chart.line(points, colour, 2)
        chart.legend((text, colour, "line"))
    return picture


def gate(fleet):
    name = "dep-013"
    series, slots = fleet.span(name, 22 * DAY + 12 * HOUR, 24 * DAY + 18 * HOUR)
    together = fleet.together[name]
    seen, low, kept = (Running(values) for values in (
        series.calls, series.low, [low * math.exp(min(together[max(at - 24, 0) : at], default=0)) for at, low in enumerate(series.low)]))
    ratio = lambda slot, expected: (slot, log_ratio(seen(slot - 95, slot + 1), expected, 0.03 * series.usual_of[slot] * 96 + 2))
    now = lambda slot: low(slot - 95, slot + 1) * math.exp(min(together[max(slot - 24, 0) : slot], default=0))
    plain = [ratio(slot, low(slot - 95, slot + 1)) for slot in slots]
    after = [ratio(slot, now(slot)) for slot in slots]
    gated = [ratio(slot, min(now(slot), kept(slot - 95, slot + 1))) for slot in slots]
    picture = Picture("A holiday: how far peers have fallen, and the fall of one of them", height=460)
    upper = Chart(picture, (slots.start, slots.stop), (-3, 0), at=(70, 60, 760, 110))
    upper.axes([], [(math.log(x), f"×{x:g}") for x in (0.05, 0.2, 0.5, 1)])
    upper.area([(s, together[s - 1]) for s in slots], [(slots.start, 0), (slots.stop, 0)], GREEN, 0.4)
    upper.line([(slots.start, -0.3), (slots.stop, -0.3)], INK, 1, "3 3")
    upper.legend(("what peers keep", GREEN, "bar"), ("the odds of a fall count above", INK, "dash"), up=12)
    lower = Chart(picture, (slots.start, slots.stop), (-2, 1), at=(70, 230, 760, 170))
    lower.axes(hours(slots.start, slots.stop, 6), [(math.log(x), f"×{x:g}") for x in (0.2, 0.5, 1, 2)], yname="")
    lower.line(plain[::2], GREY, 1.6, "4 3")
    lower.line(after[::2], ORANGE, 1.6)
    lower.line(gated[::2], RED, 2)
    lower.legend(("eight hours against the rhythm", GREY, "dash"), ("what peers keep now", ORANGE, "line"),
                 ("what they kept, by slot", RED, "line"), up=14)
    return picture


def read_tails():
    tails = {}
    for line in (ROOT / "models/detection.csv").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, regime, *points = line.split(",")
            tails[name, regime] = [float(point) for point in points]
    return tails


def tails(_):
    table = read_tails()
    picture = Picture("Pooled tails: how rarely a score is reached (calls of a slot)")
    chart = Chart(picture, (1, 1_000), (0.1, 60), at=(70, 66, 760, 200), log="xy")
    chart.axes([(v, f"{v:,}") for v in (1, 3, 10, 30, 100, 300, 1_000)], [(v, f"{v:g}") for v in (0.1, 0.3, 1, 3, 10, 30)],
               "weeks between, per deployment", "upper spreads")
    weeks = [10 ** (n / 2) for n in range(5)]
    for regime, colour in (("busy", BLUE), ("idle", ORANGE), ("new", INK), ("young", GREY)):
        points = table["calls-5m", regime]
        slope = max((points[4] - points[2]) / 2, 0.02)
        chart.line(list(zip(weeks, points)), colour, 2)
        chart.dots(list(zip(weeks, points)), colour, 3, 1)
        beyond = [(100 * 10 ** (n / 4), points[4] + n / 2 * slope) for n in range(5)]
        chart.line(beyond, colour, 1.6, "5 4")
        chart.legend((regime, colour, "line"))
    # The rate of the rarest part at which all parts together fire once in ten weeks.
    part = 10 ** -table["fused", "busy"][2]
    chart.mark(10, GREY)
    chart.mark(part, GREEN, "level of one part; all together fire once in 10 weeks", up=172)
    return picture


def control(fleet):
    name = "dep-014"
    charged, since, share, alerts = 0.0, None, [], sorted(fleet.alerts(name))
    for slot in range(35 * DAY):
        charged *= 0.5 ** (300 / (14 * 86_400))
        since = None if since is None else since + 300
        if slot in fleet.alerts(name) and (since is None or since >= 6 * 3600):
            charged, since = charged + 1, 0
            share.append((slot, share[-1][1]))
        if slot % 24 == 0 or since == 0:
            share.append((slot, 0.5 ** min(charged, 3)))
    picture = Picture("Control: the rate that a deployment may spend after its alerts")
    chart = Chart(picture, (21 * DAY, 35 * DAY), (0.1, 1.1), log="y")
    chart.axes(days(21, 35, 2), [(1, "1"), (0.5, "½"), (0.25, "¼"), (0.125, "⅛")], yname="share of the set rate")
    chart.line([point for point in share if point[0] >= 21 * DAY], BLUE, 2)
    chart.dots([(slot, 1.02) for slot in alerts if slot >= 21 * DAY], RED, 2.5, 0.8)
    chart.legend(("share", BLUE, "line"), ("slots that fired", RED, "dot"))
    return picture


PICTURES = (rhythm, levels, edges, shape, calibration, own, spike, distance, concentration, odds, wallet, most, raised, silence, gate, tails, control)


def main():
    program = shlex.split(sys.argv[1]) if len(sys.argv) > 1 else ["cargo", "run", "--quiet", "--"]
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(program, Path(folder))
    for draw in PICTURES:
        draw(fleet).save(HERE / f"{draw.__name__}.svg")


if __name__ == "__main__":
    main()
