"""The formulae of `src/detect/score/` once more, as short as they go, for pictures alone.

Double precision and one series at a time; no score is computed here, and which slots were left out of learning is
taken from a run of the program.
"""

import math

HOUR, DAY = 12, 288  # slots


def log_ratio(seen, expected, floor):
    return math.log((max(seen, 0) + floor) / (max(expected, 0) + floor))


def median(values):
    values = sorted(values)
    half = len(values) // 2
    return 0.0 if not values else (values[half] + values[~half]) / 2


def mean(values):
    return sum(values) / max(len(values), 1)


def raised_of(calls):
    """Own spreads by which the last days lie above what they usually are, by day, where three hours end (raised.rs)."""
    blocks = [sum(calls[at : at + 3 * HOUR]) for at in range(0, len(calls) - 3 * HOUR + 1, 3 * HOUR)]
    rest, ratios, scores = None, [], []
    for end, block in enumerate(blocks):
        floor = 0.1 * mean(blocks[max(end - 208, 0) : end]) + 2
        if end % 8 == 0 and end:
            rest = rest_of(blocks, end, floor)
        within = [rest is not None and (at - rest) % 56 < 16 for at in range(end + 1)]
        days = [at for at in range(end - 40, end - 201, -8) if at >= max(end - 208, 0)]
        if len(days) < 7:
            continue
        usual = median([blocks[at] for at in days if within[at] == within[end]])
        ratios.append(min(max(log_ratio(block, usual, floor), -0.3), 0.4))
        spans = [score for span in (8, 16, 24) if (score := raised_by(ratios, span)) is not None]
        if spans:
            scores.append(((end + 1) / 8, max(spans)))
    return scores


def rest_of(blocks, end, floor):
    """Where in the week the two days begin that differ most from the others; None where they differ little."""
    until = end - 24
    start = max(until - 168, end - 208, 0)
    if until - start < 56:
        return None
    usual = [math.log(median(blocks[start + (place - start) % 56 : until : 56]) + floor) for place in range(56)]
    apart = []
    for first in range(56):
        inside = sum((usual + usual)[first : first + 16])
        apart.append(abs(inside / 16 - (sum(usual) - inside) / 40))
    most = max(apart)
    return 55 - apart[::-1].index(most) if most > 0.15 else None


def raised_by(ratios, span):
    """Own spreads above half the middle, of the mean of the last `span` log ratios; None with too little past."""
    last = len(ratios) - 1  # Only those before the newest are past.
    ends = range(last - 24, max(span, last - 24 - 168) - 1, -4)
    own = [mean(ratios[end - span : end]) for end in ends]
    if len(own) < 8:
        return None
    middle = median(own)
    sigma = 1.4826 * median([abs(value - middle) for value in own])
    weight, days = len(own) / (span / 4), span / 8
    spread = math.sqrt((weight * sigma**2 + 4 * 0.1**2 * 2 / days) / (weight + 4))
    return (mean(ratios[-span:]) - middle / 2) / spread


def seasons(learnt):
    """Amounts of the next 26 hours by the seasons of the hours learnt, and the lift of the last day over the last
    week (seasons.rs); nothing before two weeks."""
    logs = [math.log1p(max(value, 0)) for value in learnt]
    end = len(logs)
    if end < 336:
        return [], 0.0
    starts = [min(max(at - 84, 0), end - 168) for at in range(end)]
    rest = [value - mean(logs[start : start + 168]) for value, start in zip(logs, starts)]
    day = [median(rest[place::24]) for place in range(24)]
    rest = [value - day[at % 24] for at, value in enumerate(rest)]
    week = [median(rest[place::168]) for place in range(168)]
    season = [day[at % 24] + week[at % 168] for at in range(end + 26)]
    rests = ([logs[at] - season[at] for at in range(end - hours, end)] for hours in (24, 168))
    day, week = (of(rest) for of, rest in zip((mean, median), rests))
    return [max(math.expm1(day + season[at]), 0) for at in range(end, end + 26)], day - week


class Series:
    """One deployment, slot by slot: what is expected of its calls (signal.rs), and what is left out of learning
    (learn.rs). Lists begin with the first slot that had calls, `start`."""

    def __init__(self, name, rows, fired):
        self.name, self.start, self.fired = name, min(rows), fired
        columns = zip(*(rows.get(slot, (0, 0, 0)) for slot in range(self.start, max(rows) + 1)))
        self.calls, self.tokens, self.callers = (list(column) for column in columns)
        self.frozen, self.run, self.rhythm = set(), 0, None
        self.learnt, self.hours, self.profile = [], [], [0.0, 0.0]
        self.seasons, self.lift = (0, []), 0.0
        self.high, self.low, self.plain, self.usual_of, self.fallen = [], [], [], [], []
        self.level = self.usual = self.hour_learnt = self.hour_seen = 0.0
        self.accepted, self.accepted_at = 0.0, -168
        self.shape = [(0.0, 0.0)] * DAY

    def step(self, falls):
        """Learns the next slot, when its peers had fallen so far together at each of the slots before."""
        slot = len(self.high)
        if slot >= len(self.calls):
            self.fallen.append(None)
            return
        value = self.calls[slot]
        high, low = self.expected(slot)
        self.high.append(high)
        self.low.append(low)
        self.usual_of.append(self.usual)
        self.fallen.append(self.fall(slot + 1))
        has_fallen = self.fallen[-1] is not None and self.fallen[-1] < -0.5
        odd = slot + self.start in self.fired or (has_fallen and falls[-1] < -0.3)
        self.run = self.run + 1 if odd else 0
        recent = sum(slot - 14 * DAY <= other for other in self.frozen) / DAY if odd else 0
        if odd and slot >= 14 * DAY and self.run < 2 * DAY and recent < 3.5:
            self.frozen.add(slot)
        else:
            seen, expected = self.shape[slot % DAY]
            plain = self.plain[-1] * math.exp(0.8 * self.level)
            self.shape[slot % DAY] = seen + value, expected + plain
        kept = math.exp(min(falls[-24:]))
        self.hour_seen += min(value / kept, low) if value < low else value
        self.hour_learnt += (high + low) / 2 if slot in self.frozen else value
        if slot % HOUR == HOUR - 1:
            self.end_hour(slot + 1)

    def fall(self, end):
        """Log ratio of an hour to what was expected of falls; None where too little was."""
        low, seen = sum(self.low[-HOUR:]), sum(self.calls[max(end - HOUR, 0) : end])
        return None if low < 10 else log_ratio(seen, low, 0.03 * self.usual * HOUR + 2)

    def end_hour(self, end):
        self.learnt.append(self.hour_learnt)
        self.hours.append(self.hour_seen)
        self.hour_learnt = self.hour_seen = 0.0
        if end % DAY == 0:
            self.begin_day()
            self.rhythm = rhythm(self.learnt, self.start // HOUR)
        self.accept_shift()
        self.begin_hour()

    def within(self, slot):
        """What the profile of a slot is multiplied by (shape.rs)."""
        seen, expected = self.shape[slot % DAY]
        factor = (seen + 10 + self.usual) / (expected + 10 + self.usual)
        return 1.0 if 1 / 1.5 <= factor < 1.5 else factor

    def expected(self, at):
        hour, place = len(self.learnt), at % HOUR
        self.plain.append(self.slot(hour, place))
        slot = self.plain[-1] * self.within(at)
        floor = 0.1 * self.usual + 0.6
        beside = [self.slot(hour + by, place) * self.within(at + by * HOUR) for by in (1, -1)]
        edges = [slot] + [other for other in beside if abs(log_ratio(other, slot, floor)) > 0.7]
        ends = ((max, min), (min, max))
        moved = self.accepted if hour - self.accepted_at < 168 else 0.0
        return tuple(
            at(edges) * math.exp(0.8 * at(self.level, 0.0) - 0.5 * of(self.lift, 0.0) - of(moved, 0.0))
            for at, of in ends
        )

    def slot(self, hour, place):
        offset = (place + 0.5) / HOUR - 0.5
        last = len(self.profile) - 1
        beside = hour - 1 if offset < 0 else hour + 1
        here, there = (self.profile[min(max(at, 0), last)] for at in (hour, beside))
        return (here * (1 - abs(offset)) + there * abs(offset)) / HOUR

    def begin_day(self):
        self.shape = [(0.93 * seen, 0.93 * expected) for seen, expected in self.shape]
        days = min(len(self.learnt) // 24, 14)
        end = len(self.learnt)
        daily = [sum(self.learnt[end - 24 * (d + 1) : end - 24 * d]) / DAY for d in range(days)]
        self.usual = max(median(daily), 0.5 * mean(daily))
        self.foresee()

    def foresee(self):
        amounts, self.lift = seasons(self.learnt[-672:])
        self.seasons = (len(self.learnt), amounts)

    def begin_hour(self):
        hour = len(self.learnt)
        self.profile.append(self.profile_of(hour + 1))
        usual = self.usual * HOUR
        known = range(max(hour - 48, 24), hour)
        seen = sum(min(self.learnt[h], 6 * self.profile[h] + usual) for h in known)
        floor = max(6 * usual, 1e-9)
        self.level = log_ratio(seen, sum(self.profile[h] for h in known), floor)
        self.level = min(max(self.level, -1.6), 1.6)

    def profile_of(self, hour):
        end = len(self.learnt)
        period, back, around = (168, 3, 1) if end >= 8 * 24 else (24, 8, 0)
        centres = [hour - step * period for step in range(1, back + 1)]
        alike = [by for by in range(-around, around + 1) if by == 0 or self.are_alike(hour, hour + by)]
        near = [c + by for c in centres for by in alike]
        pool = [self.learnt[h] for h in near if max(end - 672, 0) <= h < end]
        middle = median(pool)
        if middle <= 0:
            return min(mean(pool), 2 * self.usual * HOUR)
        near = 0.7 * middle + 0.3 * min(mean(pool), 2 * middle)
        first, amounts = self.seasons
        return math.sqrt(near * amounts[hour - first]) if first <= hour < first + len(amounts) else near

    def are_alike(self, one, other):
        """Whether neither hour of the day always brings far less than the other does on the mean."""
        end, floor = len(self.learnt), 0.25 * self.usual * HOUR + 0.6
        last = lambda hour: end - 1 - (end - 1 - hour) % 24
        days = lambda hour: [self.learnt[at] for at in range(last(hour), max(end - 672, 0) - 1, -24)][:14]
        never = lambda usual, most: log_ratio(mean(days(usual)), max(days(most), default=0), floor) >= 1.3
        return not (never(one, other) or never(other, one))

    def spread(self, start, stop):
        """Log ratios below which 30, 50 and 70 % of what was expected of the hours lie (signal.rs)."""
        floor = 0.25 * self.usual * HOUR + 0.6
        hours = sorted((log_ratio(self.hours[h], self.profile[h], floor), self.profile[h]) for h in range(start, stop))
        whole = sum(weight for _, weight in hours)
        found = []
        for share in (0.3, 0.5, 0.7):
            below = 0.0
            for ratio, weight in hours:
                below += weight
                if below >= share * whole:
                    break
            found.append(ratio if whole > 0 else 0.0)
        return found

    def accept_shift(self):
        hour = len(self.learnt)
        if hour < 9 * 24:
            return
        halves = [(hour - 44, hour - 22), (hour - 22, hour)]
        (low_then, older, high_then), (low_now, newer, high_now) = (self.spread(*half) for half in halves)
        at_work = min(sum(self.profile[start:stop]) for start, stop in halves) / max(22 * HOUR * self.usual, 1e-9)
        moved = min(low_then, low_now) > 0.2 or (max(high_then, high_now) < -0.25 and at_work >= 0.75)
        if not moved or not -0.4 <= newer - older < 0.3:
            return
        factor = math.exp((older + newer) / 2)
        before = self.accepted if hour - self.accepted_at < 168 else 0.0
        self.accepted, self.accepted_at = before + math.log(factor), hour
        self.learnt = [v * factor for v in self.learnt[:-44]] + self.hours[-44:]
        self.profile = [v * factor for v in self.profile]
        self.usual *= factor
        self.foresee()


def rhythm(hours, first):
    """The hour of the centre of the days of who rests at weekends, -1 of others, None of the young (rhythm.rs)."""
    if len(hours) < 14 * 24:
        return None
    days, x, y = [0.0] * 7, 0.0, 0.0
    for hour, value in enumerate(hours[-14 * 24 :], len(hours) - 14 * 24 + first):
        angle = hour % 24 / 24 * math.tau
        x, y = x + value * math.cos(angle), y + value * math.sin(angle)
        days[hour // 24 % 7] += value
    total = sum(days)
    rest = min(days[day] + days[(day + 1) % 7] for day in range(7))
    if total <= 0 or rest / 2 >= 0.65 * (total - rest) / 5 or math.hypot(x, y) < 0.15 * total:
        return -1
    return int(math.atan2(y, x) / math.tau * 24 % 24)


def peers(one, fleet):
    near = lambda a, b: a == b == -1 or (min(a, b) >= 0 and min((a - b) % 24, (b - a) % 24) <= 2)
    return [other for other in fleet if other.rhythm is not None and near(one.rhythm, other.rhythm)]


def common(falls):
    """How far peers have fallen together (rhythm.rs)."""
    rank = (len(falls) - 1) / 4
    low, high = sorted(falls)[int(rank)], sorted(falls)[math.ceil(rank)]
    return 1.5 * min(low + (rank % 1) * (high - low) + 0.25, 0)


def learn(fleet, slots):
    """All deployments together; how far each one's peers have fallen together, by slot."""
    together = {series.name: [] for series in fleet}
    for slot in range(slots):
        for series in (s for s in fleet if slot >= s.start):
            series.step(together[series.name] or [0.0])
        for series in fleet:
            falls = []
            if series.rhythm is not None:
                falls = [p.fallen[-1] for p in peers(series, fleet) if p.fallen and p.fallen[-1] is not None]
            together[series.name].append(common(falls) if len(falls) >= 4 else 0.0)
    return together


def odds(slots, keep=0.95, variance=0.09, scatter=0.05):
    """ln R of a rise for slots of calls, calls expected, and log likelihood ratios of callers by watcher (odds.rs)."""
    ahead = lambda belief: (belief[0] * keep, belief[1] * keep**2 + variance * (1 - keep**2))
    ordinary, watches, told = (0.0, variance), [((0.0, variance), 0.0) for _ in RISES], []
    for seen, expected, usual, by_callers in slots:
        before = ahead(ordinary)
        likely, ordinary = hear(before, seen, expected, 0.0, scatter)
        for place, (belief, value) in enumerate(watches):
            going = value + math.log1p(-1 / 24)
            all_ = math.log1p(math.exp(-abs(going))) + max(going, 0)
            share = math.exp(going - all_)
            mean_, spread_ = ahead(belief)
            middle = before[0] + share * (mean_ - before[0])
            around = before[1] + (before[0] - middle) ** 2, spread_ + (mean_ - middle) ** 2
            mixed = middle, around[0] * (1 - share) + around[1] * share
            attacked, (level, left) = hear(mixed, seen, expected, RISES[place] * usual, scatter)
            gained = min(max(attacked - likely + by_callers(RISES[place]), -12), 9)
            gained = gained if seen > expected * math.exp(before[0]) else min(gained, 0)
            sigma = math.sqrt(variance)
            watches[place] = (min(max(level, -sigma), sigma), left), min(max(all_ + gained, -20), 20)
        told.append(max(math.log(mean([math.exp(value) for _, value in watches])), 0))
    return told


RISES = (1.2, 3, 9, 40)


def hear(belief, seen, own, others, scatter):
    """Log likelihood of a slot, and the belief after it (belief.rs)."""
    level, variance = belief
    own *= math.exp(level)
    expected = max(own + others, 1e-3)
    strays, wanders = scatter * own**2 + 0.1 * others**2, variance * own**2
    shape = min(max(expected**2 / (strays + wanders), 0.05), 1e4)
    likely = math.lgamma(seen + shape) - math.lgamma(shape) - shape * math.log1p(expected / shape)
    likely += seen * math.log(expected / (shape + expected))
    gain = variance * own / (wanders + strays + expected)
    step = min(max(gain * (seen - expected), -1), 1)
    return likely, (level + step, max(variance * (1 - gain * own), 1e-5))


class Histogram:
    """Log ratios of past windows by load, and their quantiles (calibration.rs)."""

    def __init__(self):
        self.bins = [[0.0] * 96 for _ in range(4)]
        self.spreads = [(0, 0, 0, 0)] * 5

    @staticmethod
    def load(expected, usual):
        return sum(expected / max(usual, 1e-300) >= edge for edge in (0.3, 1.0, 2.0))

    def add(self, load, ratio):
        self.bins[load][int(min(max((ratio + 3) / 0.0625, 0), 95))] += 1

    def whole(self):
        return [sum(column) for column in zip(*self.bins)]

    def refit(self):
        self.spreads = [spread(bins) for bins in [*self.bins, self.whole()]]
        self.bins = [[0.985 * bin for bin in bins] for bins in self.bins]

    def spread(self, load):
        """Count and quantiles, the outer ones no nearer than those of the next loads; None before most of a day was seen."""
        known = lambda found: found[0] >= 0.7 * DAY
        own = next((s for s in (self.spreads[load], self.spreads[4]) if known(s)), None)
        if own is None:
            return None
        beside = [self.spreads[by] for by in (load - 1, load + 1) if 0 <= by < 4 and known(self.spreads[by])]
        count, low, middle, high = own
        return count, min([low, *(s[1] for s in beside)]), middle, max([high, *(s[3] for s in beside)])


def spread(bins):
    count = sum(bins)

    def quantile(share):
        below = 0.0
        for place, bin in enumerate(bins):
            if bin > 0 and below + bin >= share * count:
                return -3 + 0.0625 * (place + (share * count - below) / bin)
            below += bin
        return 0.0

    return count, quantile(0.005), quantile(0.5), quantile(0.995)


class Running:
    """Sums of the newest values of a series in one subtraction."""

    def __init__(self, values):
        self.sums = [0.0]
        for value in values:
            self.sums.append(self.sums[-1] + value)

    def __call__(self, first, last):
        return self.sums[max(last, 0)] - self.sums[max(first, 0)]


def calls_of_an_hour(series, together=None):
    """Slot, seen, expected, floor, spread and load of each hour's window: rises against the rhythm and the last four
    hours, or falls against the rhythm and what peers kept of it."""
    seen, high, low = (Running(v) for v in (series.calls, series.high, series.low))
    histogram, windows = Histogram(), []
    for slot in range(len(series.calls)):
        end, start = slot + 1, slot + 1 - HOUR
        usual = series.usual_of[slot]
        falls = together is not None
        floor = 0.03 * usual * HOUR + 2 if falls else 0.25 * usual * HOUR + 0.6
        expected = low(start, end) * math.exp(min(together[max(slot - 24, 0) : slot], default=0)) if falls else high(start, end)
        if not falls:
            before = seen(start - 48, start), high(start - 48, start)
            expected *= math.exp(0.8 * log_ratio(*before, 0.25 * usual * 48 + 0.6))
        load = Histogram.load(high(start, end), usual * HOUR)
        if slot >= 72 * HOUR:
            known = histogram.spread(load)
            windows.append((slot, seen(start, end), expected, floor, known, load))
            if slot not in series.frozen:
                histogram.add(load, log_ratio(seen(start, end), expected, floor))
        if end % DAY == 0:
            histogram.refit()
    return windows, histogram
