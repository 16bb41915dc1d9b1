"""A slow twin of the Hilbert row, written from Ehlers' description; see `feature_twins`.

Every series is a whole list, zero before the bar at which the measuring begins; nothing is kept in
rings, and the phase is a plain discrete Fourier coefficient.
"""

import math
from collections import defaultdict

import numpy as np

from tests.feature_twins import NAN, Outputs, Seen

FIRST, KNOWN = 37, 86
Series = defaultdict[int, float]


def series() -> Series:
    """Zero wherever nothing was written."""
    return defaultdict(float)


def quarter_turn(values: Series, k: int, period: float) -> float:
    """Hilbert's transform by four taps, its gain corrected for the period."""
    taps = {0: 0.0962, 2: 0.5769, 4: -0.5769, 6: -0.0962}
    return sum(tap * values[k - back] for back, tap in taps.items()) * (0.075 * period + 0.54)


class Measuring:
    """Everything that is measured of closes, bar by bar."""

    def __init__(self, closes: np.ndarray) -> None:
        """Measure all of them."""
        self.closes = closes
        self.smooth, self.detrended, self.behind = series(), series(), series()
        self.i2, self.q2, self.real, self.imaginary = series(), series(), series(), series()
        self.period, self.smooth_period = series(), series()
        self.phases: dict[int, float] = {}
        self.crossed = FIRST - 1
        self.means: list[float] = [0.0, 0.0, 0.0]
        self.answer: Outputs = (NAN,) * 6
        for k in range(FIRST, len(closes)):
            self.measure_period(k)
            self.answer = self.answer_of(k)

    def measure_period(self, k: int) -> None:
        """How fast the angle turns between price in phase and price a quarter behind."""
        before = self.period[k - 1]
        self.smooth[k] = float(np.dot(self.closes[k - 3 : k + 1], [1, 2, 3, 4]) / 10)
        self.detrended[k] = quarter_turn(self.smooth, k, before)
        self.behind[k] = quarter_turn(self.detrended, k, before)
        ahead = quarter_turn(self.detrended, k - 3, before)
        ahead_behind = quarter_turn(self.behind, k, before)
        self.i2[k] = 0.2 * (self.detrended[k - 3] - ahead_behind) + 0.8 * self.i2[k - 1]
        self.q2[k] = 0.2 * (self.behind[k] + ahead) + 0.8 * self.q2[k - 1]
        now, last = complex(self.i2[k], self.q2[k]), complex(self.i2[k - 1], self.q2[k - 1])
        turn = last * now.conjugate()
        self.real[k] = 0.2 * turn.real + 0.8 * self.real[k - 1]
        self.imaginary[k] = 0.2 * turn.imag + 0.8 * self.imaginary[k - 1]
        period = before
        if self.real[k] and self.imaginary[k]:
            period = 2 * math.pi / math.atan(self.imaginary[k] / self.real[k])
        period = float(np.clip(period, 0.67 * before, 1.5 * before))
        self.period[k] = 0.2 * float(np.clip(period, 6, 50)) + 0.8 * before
        self.smooth_period[k] = 0.33 * self.period[k] + 0.67 * self.smooth_period[k - 1]

    def phase_of(self, k: int, bars: int) -> float:
        """Angle of the Fourier coefficient of one turn, and Ehlers' corrections."""
        window = np.array([self.smooth[k - back] for back in range(bars)])
        if not np.ptp(window):
            return NAN
        angles = 2 * np.pi * np.arange(bars) / bars
        centred = window - self.smooth[k]
        real, imaginary = (float(np.dot(f(angles), centred)) for f in (np.sin, np.cos))
        found = math.degrees(math.atan2(real, imaginary)) + 90 + 360 / self.smooth_period[k]
        while found > 315:
            found -= 360
        return found if found > -45 else found + 360

    def answer_of(self, k: int) -> Outputs:
        """Period, phase, sine, lead, trend and angle after bar k."""
        bars = max(int(self.smooth_period[k] + 0.5), 1)
        phase = self.phase_of(k, bars)
        mean = float(self.closes[k - bars + 1 : k + 1].mean())
        self.means.append(mean)
        line = float(np.dot(self.means[-4:], [1, 2, 3, 4]) / 10)
        if math.isnan(phase):
            return (NAN,) * 6
        sine, lead = (math.sin(math.radians(phase + more)) for more in (0, 45))
        before = list(self.phases.values())[-1:] or [0.0]
        ahead = math.sin(math.radians(before[0])) - math.sin(math.radians(before[0] + 45))
        if not self.phases:
            ahead = 0.0
        self.phases[k] = phase
        if (sine > lead and ahead <= 0) or (sine < lead and ahead >= 0):
            self.crossed = len(self.phases) - 1
        age = len(self.phases) - 1 - self.crossed
        turned = (phase - before[0]) * self.smooth_period[k] / 360
        is_trend = age > 0 and age + 1 >= self.smooth_period[k] / 2 and not 0.67 < turned < 1.5
        is_far = abs(self.smooth[k] / line - 1) >= 0.015
        if k < KNOWN:
            return (NAN,) * 6
        angle = math.atan2(self.behind[k], self.detrended[k - 3]) / math.pi
        period = self.smooth_period[k] / 50
        return period, phase / 180, sine, lead, float(is_trend or is_far), angle


def hilbert(seen: Seen) -> Outputs:
    """The row after the bars seen."""
    return Measuring(seen.close).answer
