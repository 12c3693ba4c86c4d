"""What an oracle makes of a deployment: it knows every law that the fleet was drawn from, and not what comes next.

The level of a deployment wanders (AR(1)), has good and bad days and short bursts. Of its logarithm a Gaussian belief is
kept, as a Kalman filter does, with counts in place of normal noise (Laplace's approximation of each slot). One belief
takes all traffic for ordinary; one for each kind of attack takes it for ordinary until some slot and attacked since.
Their likelihoods give

    R ← (R (1 − 1/length) + 1) × p(slot | attacked) / p(slot | ordinary)

the Shiryaev-Roberts statistic: likelihood ratios summed over every slot at which the attack may have begun (Pollak 1985).
"""

import math
from functools import lru_cache

HOUR, DAY = 12, 288  # slots
WEEK = 7 * DAY
BUSINESS = {"spike_x3", "spike_x10", "spike_x50", "slow_ramp", "night_abuse", "agent_loop", "low_slow", "caller_surge",
            "wallet", "outage", "usage_drop"}
FITS = {"business": BUSINESS, "consumer": BUSINESS - {"night_abuse"}, "flat": BUSINESS - {"night_abuse"},
        "batch": {"spike_x10", "spike_x50", "agent_loop", "wallet"}, "sparse": {"spike_x10", "spike_x50", "agent_loop"},
        "dormant": {"dormant_wake"}}
# Strength where no event says it: the middle of what is drawn. Shortest and longest in slots (attacks.rs).
KINDS = {"spike_x3": (3, (3, 72)), "spike_x10": (10, (3, 72)), "spike_x50": (50, (3, 72)), "slow_ramp": (5, (1152, 1152)),
         "night_abuse": (0.95, (48, 84)), "agent_loop": (2.5, (12, 96)), "low_slow": (1.3, (864, 1728)),
         "caller_surge": (12, (12, 144)), "wallet": (5.5, (12, 96)), "outage": (0, (12, 120)),
         "usage_drop": (0.275, (72, 288)), "dormant_wake": (14, (24, 288))}
CLIMB = 3 * DAY  # of a slow ramp


def mean_length(kind):
    """Of a length uniform in its logarithm."""
    short, long = KINDS[kind][1]
    return short if short == long else (long - short) / math.log(long / short)


class Laws:
    """A line of `fleet_oracle.jsonl`. `told` makes the wandering level known as well."""

    def __init__(self, laws, growth, told=False):
        factor = laws["modulation"] if told else [1.0] * len(laws["expected"])
        since, times = growth
        grown = (e * f * (times if slot >= since else 1) for slot, (e, f) in enumerate(zip(laws["expected"], factor)))
        self.expected = [math.log(max(value, 1e-9)) for value in grown]
        before = laws["expected"][: 21 * DAY]
        self.mean = max(sum(before) / len(before), 0.02)
        self.busy = sorted(before[-WEEK:])[int(0.9 * (WEEK - 1))]
        sigma = 1e-4 if told else laws["wander_sigma"]
        self.day_variance = 1e-8 if told else laws["day_sigma"] ** 2
        self.keep = math.exp(-1 / laws["wander_slots"])
        self.variance, self.middle = sigma**2, 0.0 if told else -(sigma**2) / 2
        self.begin = 0.0 if told else laws["bursts_per_week"] / WEEK / 2
        self.bursts = [0.0] + [math.log(1.2 + (laws["burst_max"] - 1.2) * share) for share in (0.25, 0.75)]
        self.shape, self.pool = laws["shape"], laws["pool"]
        self.input, self.output, self.deviation = laws["input"], laws["output"], laws["deviation"]
        self.drift, self.drift_keep = laws["drift_sigma"] ** 2, math.exp(-1 / laws["drift_slots"])
        self.factors = [-math.lgamma(self.shape) + math.lgamma(self.shape)]
        self.same_callers = lru_cache(None)(self.callers)

    def count_factor(self, count):
        """Logarithm of the part of the negative binomial that depends on count and shape alone."""
        while len(self.factors) <= count:
            n = len(self.factors)
            self.factors.append(self.factors[-1] + math.log((n - 1 + self.shape) / n))
        return self.factors[count]

    def callers(self, seen, calls):
        """Probability that so many own calls bring so many callers (load.rs, `distinct`)."""
        if calls < 1 or seen < 1 or seen > calls:
            return float(calls < 1 and seen == 0)
        if calls == 1:
            return 1.0
        mean = -self.pool * math.expm1(-calls / self.pool / 1.5)
        if seen == 1:
            return math.exp(-mean) * (1 + mean)
        chance = math.exp(seen * math.log(mean) - mean - math.lgamma(seen + 1))
        # The clamp at the calls gathers what lies above.
        return chance if seen < calls else chance / (1 - mean / (seen + 1))


class Level:
    """Belief about the logarithm of the level: wander, this noon's and the next noon's day, as mean and covariance."""

    def __init__(self, laws):
        self.mean = [0.0, 0.0, 0.0]
        self.cover = [laws.variance, 0.0, 0.0, laws.day_variance, 0.0, laws.day_variance]  # ww w0 w1 00 01 11
        self.burst = [1.0, 0.0, 0.0]

    def copy(self):
        other = object.__new__(Level)
        other.mean, other.cover, other.burst = self.mean[:], self.cover[:], self.burst[:]
        return other

    def advance(self, slot, laws):
        mean, cover, keep = self.mean, self.cover, laws.keep
        mean[0] *= keep
        cover[0] = keep * keep * cover[0] + (1 - keep * keep) * laws.variance
        cover[1] *= keep
        cover[2] *= keep
        if slot % DAY == DAY // 2:
            mean[1], mean[2] = mean[2], 0.0
            self.cover = [cover[0], cover[2], 0.0, cover[5], 0.0, laws.day_variance]
        plain, first, second = self.burst
        going = 0.2 * (first + second)
        self.burst = [plain * (1 - 2 * laws.begin) + going, *(0.8 * p + plain * laws.begin for p in (first, second))]

    def mix(self, weight, other):
        """Takes the other in with its weight, mean and variance kept."""
        share = weight[1] / (weight[0] + weight[1])
        if share <= 0:
            return
        mine, theirs = self.mean, other.mean
        apart = [b - a for a, b in zip(mine, theirs)]
        self.mean = [a + share * d for a, d in zip(mine, apart)]
        pairs = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
        self.cover = [a + share * (b - a) + share * (1 - share) * apart[i] * apart[j]
                      for a, b, (i, j) in zip(self.cover, other.cover, pairs)]
        self.burst = [a + share * (b - a) for a, b in zip(self.burst, other.burst)]

    def project(self, slot, laws):
        """Mean and variance of the logarithm of the expected calls, and how each part moves with it."""
        late = max(slot / DAY - 0.5, 0) % 1
        early, (w, d0, d1), (ww, w0, w1, c00, c01, c11) = 1 - late, self.mean, self.cover
        gain = (ww + early * w0 + late * w1, w0 + early * c00 + late * c01, w1 + early * c01 + late * c11)
        mean = laws.expected[slot] + laws.middle + w + early * d0 + late * d1
        return mean, max(gain[0] + early * gain[1] + late * gain[2], 1e-12), gain

    def learn(self, projected, mean, variance):
        before, spread, gain = projected
        g = [value / spread for value in gain]
        moved, shrunk = mean - before, variance - spread
        self.mean = [a + b * moved for a, b in zip(self.mean, g)]
        (a, b, c), old = g, self.cover
        self.cover = [old[0] + a * a * shrunk, old[1] + a * b * shrunk, old[2] + a * c * shrunk,
                      old[3] + b * b * shrunk, old[4] + b * c * shrunk, old[5] + c * c * shrunk]

    def see(self, slot, calls, laws, shift=0.0):
        """Logarithm of the probability of so many own calls; `shift` is the logarithm of an attack's factor."""
        projected = self.project(slot, laws)
        before, spread, _ = projected
        found = []
        for chance, burst in zip(self.burst, laws.bursts):
            if chance > 1e-9:
                log, mode, variance = laplace(calls, laws, before + shift + burst, spread)
                found.append((log + math.log(chance), mode - shift - burst, variance))
            else:
                found.append((-math.inf, before, spread))
        top = max(log for log, _, _ in found)
        shares = [math.exp(log - top) for log, _, _ in found]
        total = sum(shares)
        self.burst = shares = [share / total for share in shares]
        mean = sum(share * m for share, (_, m, _) in zip(shares, found))
        variance = sum(share * (v + (m - mean) ** 2) for share, (_, m, v) in zip(shares, found))
        self.learn(projected, mean, variance)
        return top + math.log(total)


def laplace(calls, laws, before, spread):
    """Of a negative binomial count whose mean is lognormal: log evidence, and mode and variance of that logarithm."""
    shape, at = laws.shape, before
    for _ in range(25):
        rate = math.exp(at)
        part = rate / (shape + rate)
        curve = (calls + shape) * part * (1 - part) + 1 / spread
        step = (calls - (calls + shape) * part - (at - before) / spread) / curve
        at += min(max(step, -1.0), 1.0)
        if abs(step) < 1e-3:
            break
    rate = math.exp(at)
    log = laws.count_factor(calls) + calls * (at - math.log(shape + rate)) - shape * math.log1p(rate / shape)
    return log - (at - before) ** 2 / (2 * spread) - 0.5 * math.log(spread * curve), at, 1 / curve


class Scaled:
    """Own traffic times a factor: outage, drop, thirty per cent more, slow ramp. The calls say all there is to know."""

    def __init__(self, kind, times, laws):
        self.laws, self.level, self.weight = laws, None, 0.0
        self.log = math.log(max(times, 1e-9))

    def shift(self, _):
        return self.log

    def see(self, slot, seen, ordinary, inflow, stay):
        """`ordinary`: the belief before this slot and the log likelihoods of calls, callers and tokens under it."""
        before, (calls, _, _) = ordinary
        weight = self.weight * stay
        if self.level is None:
            self.level = before.copy()
        elif weight > 0:
            self.level.advance(slot, self.laws)
            self.level.mix((weight, inflow), before)
        else:
            self.level = before.copy()
        log = self.level.see(slot, seen[0], self.laws, self.shift(slot)) - calls
        self.weight = min((weight + inflow) * math.exp(min(log, 300.0)), 1e250)


class Climbing(Scaled):
    """A ramp whose beginning is known."""

    def __init__(self, times, laws, start):
        super().__init__("slow_ramp", times, laws)
        self.times, self.start = times, start

    def shift(self, slot):
        return math.log(1 + (self.times - 1) * min((slot - self.start) / (CLIMB - 1), 1.0))


class Ramp:
    """A ramp in twelve steps that take six hours on the average."""

    STEPS = 12

    def __init__(self, times, laws):
        factors = [1 + (times - 1) * (step + 0.5) / self.STEPS for step in range(self.STEPS)]
        self.steps, self.weight = [Scaled("slow_ramp", factor, laws) for factor in factors], 0.0

    def see(self, slot, seen, ordinary, inflow, stay):
        pass_on, entering, source = self.STEPS / CLIMB, inflow, ordinary[0]
        for step in self.steps:
            leaving, belief = step.weight * stay * pass_on, step.level and step.level.copy()
            if belief:
                belief.advance(slot, step.laws)
            last = step is self.steps[-1]
            step.see(slot, seen, (source, ordinary[1]), entering, stay * (1 if last else 1 - pass_on))
            entering, source = leaving, belief or ordinary[0]
            if entering < 1e-12:
                entering = 1e-12
        self.weight = sum(step.weight for step in self.steps)


class Strangers:
    """Calls of a few others beside the own ones: spikes, night abuse, agent loop, wake. Calls and callers."""

    GRID = [-2.7, -1.8, -0.9, 0.0, 0.9, 1.8, 2.7]  # standard deviations
    DENSITY = [math.exp(-z * z / 2) for z in GRID]
    FEW = 24

    def __init__(self, laws, rate, shape, most):
        """`most` strangers at most, any number down to one."""
        self.laws, self.level, self.weight, self.most = laws, None, 0.0, most
        self.rate, self.shape = rate, shape
        self.log_chance = lru_cache(None)(self.log_chance)
        deviation = math.sqrt(rate + (0 if shape is None else rate * rate / shape))
        self.span = max(int(rate - 3 * deviation), 0), int(rate + 6 * deviation) + 10

    def log_chance(self, theirs):
        """Logarithm of the probability of so many strangers' calls: negative binomial, or Poisson without a shape."""
        rate, shape = self.rate, self.shape
        if shape is None:
            return theirs * math.log(rate) - rate - math.lgamma(theirs + 1)
        ways = math.lgamma(theirs + shape) - math.lgamma(shape) - math.lgamma(theirs + 1)
        return ways + theirs * math.log(rate / (rate + shape)) - shape * math.log1p(rate / shape)

    def splits(self, calls, level):
        """Own calls, strangers' calls, and the probability of these: all, or some of many that neither side excludes."""
        first, last, stride = 0, calls, 1
        if calls > self.FEW:
            mean, deviation = level
            loose = 3 * deviation + 3 / math.sqrt(self.laws.shape)
            most = math.exp(mean + loose) + 4 * math.exp((mean + loose) / 2) + 6
            least = math.exp(mean - 3 * deviation) * max(1 - 3 / math.sqrt(self.laws.shape), 0) - 6
            last = min(max(calls - max(int(least), 0), 0), max(self.span[1], 0))
            first = min(max(self.span[0], calls - int(most)), last)
            stride = max((last - first) // 14, 1)
        return [(calls - n, n, stride * math.exp(max(self.log_chance(n), -700))) for n in range(last, first - 1, -stride)]

    def terms(self, calls, callers, level):
        """Own calls, and the probability of the strangers' calls and of all callers given them."""
        find = self.laws.same_callers
        for own, theirs, chance in self.splits(calls, level):
            there = sum(find(callers - min(theirs, n), own) for n in range(1, self.most + 1))
            yield own, chance * there / self.most

    def see(self, slot, seen, ordinary, inflow, stay):
        before, (own_log, callers_log, _) = ordinary
        laws, weight = self.laws, self.weight * stay
        if self.level is None or weight <= 0:
            self.level = before.copy()
        else:
            self.level.advance(slot, laws)
            self.level.mix((weight, inflow), before)
        projected = mean, spread, _ = self.level.project(slot, laws)
        shape, deviation = laws.shape, math.sqrt(spread)
        terms = [(own, math.log(chance) + laws.count_factor(own))
                 for own, chance in self.terms(seen[0], seen[1], (mean, deviation)) if chance > 0]
        if not terms:
            self.weight = 0.0
            return
        logs = []
        for z, density in zip(self.GRID, self.DENSITY):
            rate = math.exp(mean + z * deviation)
            here, none = math.log(rate / (shape + rate)), -shape * math.log1p(rate / shape)
            values = [log + own * here for own, log in terms]
            top = max(values)
            total = sum(math.exp(value - top) for value in values if value > top - 30)
            logs.append(top + math.log(total * density) + none)
        top = max(logs)
        shares = [math.exp(log - top) for log in logs]
        total = sum(shares)
        z = sum(share * at for share, at in zip(shares, self.GRID)) / total
        square = sum(share * (at - z) ** 2 for share, at in zip(shares, self.GRID)) / total
        self.level.learn(projected, mean + z * deviation, max(square, 0.01) * spread)
        log = top + math.log(total / sum(self.DENSITY)) - own_log - callers_log
        self.weight = min((weight + inflow) * math.exp(min(log, 300.0)), 1e250)


class Surge(Strangers):
    """Many strangers, each with one call or a little more (as if drawn anew in each slot). Calls and callers."""

    STEPS = 12

    def __init__(self, laws, rate):
        super().__init__(laws, rate, None, 1)

    def terms(self, calls, callers, level):
        laws, (mean, deviation) = self.laws, level
        own = [-laws.pool * math.expm1(-math.exp(mean + z * deviation) / laws.pool / 1.5) for z in (-2.7, 2.7)]
        low = min(max(int(own[0] - 3 * math.sqrt(own[0]) - 1), 0), callers)
        high = min(int(own[1] + 3 * math.sqrt(own[1]) + 2), callers)
        stride = max((high - low) // self.STEPS, 1)
        for known in range(low, high + 1, stride):
            others = callers - known
            chance = stride * math.exp(others * math.log(self.rate) - self.rate - math.lgamma(others + 1))
            first, last = max(calls - int(1.3 * others), 0), calls - others
            step = max((last - first) // self.STEPS, 1)
            for own_calls in range(last, first - 1, -step):
                yield own_calls, step * chance / (0.3 * others + 1) * laws.same_callers(known, own_calls)
            # Never fewer than a tenth of the own calls.
            if (most := round(calls / 1.1)) < first:
                yield most, chance * laws.same_callers(known, most)


class Sizes:
    """Belief about the slow factor on tokens per call."""

    def __init__(self, laws):
        self.mean, self.variance = 0.0, laws.drift

    def advance(self, laws):
        self.mean *= laws.drift_keep
        self.variance = laws.drift_keep**2 * self.variance + (1 - laws.drift_keep**2) * laws.drift

    def see(self, seen, laws, times=(1.0, 1.0)):
        calls, _, prompt, generated = seen
        if calls == 0:
            return 0.0
        spread = laws.deviation / math.sqrt(calls)
        ratios = prompt / (calls * laws.input * times[0]), generated / (calls * laws.output * times[1])
        deviation, logs = math.sqrt(self.variance), []
        for z, density in zip(Strangers.GRID, Strangers.DENSITY):
            factor = math.exp(self.mean + z * deviation)
            logs.append(sum(-(((r / factor - 1) / spread) ** 2) / 2 for r in ratios) - 2 * math.log(factor)
                        + math.log(density))
        top = max(logs)
        shares = [math.exp(log - top) for log in logs]
        total = sum(shares)
        z = sum(share * at for share, at in zip(shares, Strangers.GRID)) / total
        square = sum(share * (at - z) ** 2 for share, at in zip(shares, Strangers.GRID)) / total
        self.mean, self.variance = self.mean + z * deviation, max(square, 0.01) * self.variance
        return top + math.log(total / sum(Strangers.DENSITY)) - math.log(times[0] * times[1])


class Wallet:
    """Tokens per call times a factor; that of generated tokens is 0.8 to 1.5 times that of prompts."""

    def __init__(self, times, laws):
        self.laws, self.sizes, self.weight, self.times = laws, None, 0.0, (times, 1.15 * times)

    def see(self, slot, seen, ordinary, inflow, stay):
        before, (_, _, tokens) = ordinary
        weight = self.weight * stay
        if self.sizes is None or weight <= 0:
            self.sizes = Sizes(self.laws)
            self.sizes.mean, self.sizes.variance = before.sizes.mean, before.sizes.variance
        else:
            self.sizes.advance(self.laws)
            share, theirs = inflow / (weight + inflow), before.sizes
            apart = theirs.mean - self.sizes.mean
            self.sizes.variance += share * (theirs.variance - self.sizes.variance) + share * (1 - share) * apart**2
            self.sizes.mean += share * apart
        log = self.sizes.see(seen, self.laws, self.times) - tokens
        self.weight = min((weight + inflow) * math.exp(min(log, 300.0)), 1e250)


def watcher(kind, times, laws, usual_callers, start=None):
    """Who looks for attacks of a kind and strength."""
    if kind == "wallet":
        return Wallet(times, laws)
    if kind == "slow_ramp":
        return Ramp(times, laws) if start is None else Climbing(times, laws, start)
    if kind in ("low_slow", "outage", "usage_drop"):
        return Scaled(kind, times, laws)
    if kind == "caller_surge":
        return Surge(laws, max(times * max(usual_callers, 1.0), 3.0))
    rate, shape, most = {"night_abuse": (times * laws.busy, 8.0, 3), "agent_loop": (max(times * laws.mean, 2.0), None, 1),
                         "dormant_wake": (times, 4.0, 5)}.get(kind, ((times - 1) * laws.mean, 6.0, 5))
    return Strangers(laws, rate, shape, most)


class Ordinary:
    """The belief that nothing happens."""

    def __init__(self, laws):
        self.laws, self.level, self.sizes = laws, Level(laws), Sizes(laws)

    def advance(self, slot):
        self.level.advance(slot, self.laws)
        self.sizes.advance(self.laws)
        before = self.level.copy()
        before.sizes = Sizes(self.laws)
        before.sizes.mean, before.sizes.variance = self.sizes.mean, self.sizes.variance
        return before

    def see(self, slot, seen):
        callers = max(self.laws.same_callers(seen[1], seen[0]), 1e-300)
        return self.level.see(slot, seen[0], self.laws), math.log(callers), self.sizes.see(seen, self.laws)
