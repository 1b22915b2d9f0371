"""Patterns as laboratories measure them, drawn on the device from the reflections of crystals.

Every pattern has its own strain, widths, zero shift, displacement, K-alpha2, asymmetry, texture, second phase, foreign
lines, background, range and counting noise. Ranges are those of laboratory scans: widths of 0.03 to 0.15 degrees and
crystallites of 20 to 600 nm; 30 to 30,000 counts at the maximum; backgrounds of 0.4 to 60 % of it. They were chosen by
hand to cover what public laboratory scans (RRUFF) show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

from trainer.errors import TrainerError
from trainer.simulate.axis import CU_KALPHA1_A, FEWEST_BINS, LN_Q_STEP, Q_MAX
from trainer.simulate.flat_sticks import FlatSticks
from trainer.simulate.free_strain import cell_change, draw_metrics, stretch
from trainer.simulate.log_q import N_ANGLES, STEP_DEG, TWO_THETA_MIN_DEG, network_input

CU_KALPHA2_A = 1.5444274
TWO_THETA_MAX_DEG = TWO_THETA_MIN_DEG + STEP_DEG * (N_ANGLES - 1)
LARGEST_STRAIN = 0.09
"""Reflections that a larger strain would bring into the range are not read."""
SECOND_PHASE_STRAIN = 0.03
"""Largest relative change of scale of a second phase."""
LARGEST_SINE = 0.999
"""Of a reflection at the wavelength of its pattern."""
PADDING = 560
"""Points beside the grid, so that peaks near its ends need no tests."""
HALF_WIDTHS = (4, 6, 9, 12, 16, 22, 30, 40, 54, 72, 100, 140, 220, 356, PADDING - 50)
"""Peaks are drawn in classes of these half widths, in points."""
POINTS_IN_CACHE, POINTS_IN_MEMORY = 1 << 18, 1 << 26
"""Points of peaks that are drawn at once by a processor core and by a GPU."""


@dataclass(frozen=True)
class Artefacts:
    """Ranges of what is drawn for every pattern, and the share of patterns that have it."""

    strain: float = 0.06
    """Largest relative change of scale of the crystal."""
    strain_anisotropic: float = 0.025
    """Largest relative change of a spacing by strain that differs between directions, as the symmetry allows."""
    texture_share: float = 0.5
    march_r: tuple[float, float] = (0.35, 1.9)
    jitter_share: float = 0.4
    jitter: float = 0.5
    """Largest standard deviation of the logarithm of an intensity."""
    kalpha2_share: float = 0.75
    asymmetry_share: float = 0.7
    second_phase_share: float = 0.3
    second_phase: tuple[float, float] = (0.005, 0.15)
    """Height of a second phase relative to the first."""
    lines_share: float = 0.1
    background: tuple[float, float] = (0.004, 0.6)
    air_share: float = 0.6
    hump_share: float = 0.35
    counts: tuple[float, float] = (30.0, 30_000.0)
    """Counts at the maximum."""
    displacement_A2: tuple[float, float] = (-0.4, 1.6)
    """Change of the overall B."""
    cut_share: float = 0.4
    """Patterns that begin late, and patterns that end early."""
    start_deg: tuple[float, float] = (5.0, 20.0)
    stop_deg: tuple[float, float] = (55.0, 90.0)
    """First and last angle of those patterns, 2theta at the wavelength of each."""
    wavelengths_A: tuple[float, float] = (CU_KALPHA1_A, CU_KALPHA1_A)
    """Drawn log-uniform, one for each pattern; K-alpha 2 is as far away as that of copper, as a ratio."""
    steps_deg: tuple[float, float] = (STEP_DEG, STEP_DEG)
    """Distance of measured points at the wavelength of each pattern, log-uniform; finer ones are as the grid."""

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self)):
            value = getattr(self, name)
            if isinstance(value, tuple):
                _check_range(name, value)
            elif name.endswith("_share") and not 0 <= value <= 1:
                raise TrainerError(f"artefacts.{name}: expected 0 to 1, found {value}")
        for name in ("strain", "strain_anisotropic"):
            if not 0 <= getattr(self, name) <= LARGEST_STRAIN:
                raise TrainerError(f"artefacts.{name}: expected 0 to {LARGEST_STRAIN}, found {getattr(self, name)}")
        if self.strain + self.strain_anisotropic > LARGEST_STRAIN:
            raise TrainerError(
                f"artefacts: expected strain and strain_anisotropic to sum to at most {LARGEST_STRAIN}, found "
                f"{self.strain:g} + {self.strain_anisotropic:g}"
            )
        if not 0 <= self.jitter < math.inf:
            raise TrainerError(f"artefacts.jitter: expected 0 or more, found {self.jitter}")
        if self.stop_deg[1] >= 180:
            raise TrainerError(f"artefacts.stop_deg: expected less than 180, found {self.stop_deg[1]}")

    def refuse_narrow(self) -> None:
        """Raise if a pattern could cover too little of the axis ln q for a prediction."""
        for wavelength_A in self.wavelengths_A:
            covered = self._bins(wavelength_A)
            if covered < FEWEST_BINS:
                raise TrainerError(
                    f"artefacts: at {wavelength_A:g} A a pattern from start_deg {self.start_deg[1]:g} to stop_deg "
                    f"{self.stop_deg[0]:g} covers {covered} bins of ln q, expected at least {FEWEST_BINS}; change "
                    "artefacts.wavelengths_A, start_deg or stop_deg"
                )

    @property
    def smallest_d_A(self) -> float:
        """Smallest d of a crystal's reflections that a drawn pattern can show: at its end, the crystal strained."""
        high = torch.tensor(self.stop_deg[1])
        end_deg = float(_on_copper(high, torch.tensor(self.wavelengths_A[0])).clamp(max=TWO_THETA_MAX_DEG))
        q_max = min(Q_MAX, 4 * math.pi * math.sin(math.radians(end_deg / 2)) / CU_KALPHA1_A)
        own = self.strain + self.strain_anisotropic
        return 2 * math.pi / (q_max * (1 + max(own, SECOND_PHASE_STRAIN if self.second_phase_share else 0.0)))

    def _bins(self, wavelength_A: float) -> int:
        """Return the bins that the shortest range covers at a wavelength."""
        ends = torch.tensor([self.start_deg[1], self.stop_deg[0]])
        low, high = _on_copper(ends, torch.tensor(wavelength_A)).clamp(TWO_THETA_MIN_DEG, TWO_THETA_MAX_DEG).tolist()
        return max(0, int(math.log(math.sin(math.radians(high / 2)) / math.sin(math.radians(low / 2))) / LN_Q_STEP))


@dataclass(frozen=True)
class Widths:
    """Parameters of the profile, one per pattern, degrees."""

    gauss_u: Tensor
    gauss_w: Tensor
    size_x: Tensor
    strain_y: Tensor
    asymmetry: Tensor
    kalpha2: Tensor
    zero: Tensor
    displacement: Tensor
    b_change: Tensor
    wavelength_A: Tensor | None = None
    """None: Cu K-alpha 1."""

    def of(self, which: Tensor) -> Widths:
        """Return those of some patterns."""
        values = {name: getattr(self, name) for name in Widths.__dataclass_fields__}
        return Widths(**{name: value[which] for name, value in values.items() if value is not None})


@dataclass(frozen=True)
class Simulator:
    """Draw inputs of the network for structures by their number."""

    sticks: FlatSticks
    artefacts: Artefacts = field(default_factory=Artefacts)

    def __call__(self, structures: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return inputs (pattern, 2, bin) and how each cell changed (pattern, 6).

        A change is the logarithms of the ratios of a, b, c, and the differences of the angles in degrees.
        """
        a, n = self.artefacts, len(structures)
        scale = 1 + a.strain * (2 * _uniform(n, generator) - 1)
        metric = (
            draw_metrics(self.sticks, structures, a.strain_anisotropic, generator) if a.strain_anisotropic else None
        )
        widths = self._draw_widths(n, generator)
        pattern = draw_peaks(self._peaks(structures, scale, widths, generator, texture=True, metric=metric), n)
        pattern = pattern / pattern.amax(dim=1, keepdim=True).clamp(min=1e-9)
        self._add_second_phases(pattern, widths, generator)
        self._add_lines(pattern, generator)
        measured = self._draw_range(n, widths.wavelength_A, generator)
        pattern = torch.where(measured, pattern, 0.0)
        pattern = pattern / pattern.amax(dim=1, keepdim=True).clamp(min=1e-9)
        pattern = torch.where(measured, pattern + self._draw_background(n, measured, generator), 0.0)
        counts = _log_uniform(n, a.counts, generator)[:, None]
        noisy = torch.poisson(pattern * counts, generator=generator)
        if a.steps_deg[1] > STEP_DEG:
            noisy = at_steps(noisy, measured, self._draw_steps(n, widths.wavelength_A, generator))
        window = 1.5 * (0.7 + 0.6 * float(_uniform(1, generator)))
        return network_input(noisy, measured, window), cell_change(self.sticks, structures, scale, metric)

    def peaks(self, structures: Tensor, generator: torch.Generator) -> Tensor:
        """Return the peaks of unstrained crystals with drawn widths, rows as `draw_peaks` takes them."""
        widths = self._draw_widths(len(structures), generator)
        return self._peaks(structures, torch.ones_like(widths.zero), widths, generator, texture=True)

    def _draw_widths(self, n: int, g: torch.Generator) -> Widths:
        a = self.artefacts
        size_A = _log_uniform(n, (200.0, 6000.0), g)
        strain_y = 4 * 0.003 * _uniform(n, g) ** 2 * math.degrees(1)
        strain_y = torch.where(_uniform(n, g) < 0.15, 2 * strain_y, strain_y)
        kalpha2 = torch.where(_uniform(n, g) < 0.85, 0.5, 0.3 * _uniform(n, g))
        low, high = a.displacement_A2
        drawn = Widths(
            gauss_u=(0.12 * _uniform(n, g)) ** 2,
            gauss_w=(0.03 + 0.12 * _uniform(n, g)) ** 2,
            size_x=0.9 * CU_KALPHA1_A / size_A * math.degrees(1),
            strain_y=strain_y,
            asymmetry=torch.where(_uniform(n, g) < a.asymmetry_share, 0.06 * _uniform(n, g), 0.0),
            kalpha2=torch.where(_uniform(n, g) < a.kalpha2_share, kalpha2, 0.0),
            zero=0.025 * _normal(n, g),
            displacement=0.05 * _normal(n, g),
            b_change=low + (high - low) * _uniform(n, g),
        )
        if a.wavelengths_A == (CU_KALPHA1_A, CU_KALPHA1_A):
            return drawn
        return replace(drawn, wavelength_A=_log_uniform(n, a.wavelengths_A, g))

    def _peaks(
        self,
        structures: Tensor,
        scale: Tensor,
        widths: Widths,
        g: torch.Generator,
        *,
        texture: bool,
        metric: Tensor | None = None,
    ) -> Tensor:
        """Return the peaks of both wavelengths, with the Lorentz-polarisation factor of a laboratory tube."""
        a, sticks = self.artefacts, self.sticks
        first, last = sticks.first[structures], sticks.first[structures + 1]
        owner, at = _ranges(first, last)
        q = sticks.q[at] / scale[owner]
        if metric is not None:
            q = q * stretch(sticks, structures, owner, at, metric)
        sine = q * (CU_KALPHA1_A / (4 * math.pi))
        intensity = sticks.f_squared[at] * torch.exp(-2 * widths.b_change[owner] * (q / (4 * math.pi)).square())
        if texture:
            n = len(structures)
            textured = (_uniform(n, g) < a.texture_share) & (last > first)
            march_r = torch.where(textured, _log_uniform(n, a.march_r, g), 1.0)
            chosen = first + (_uniform(n, g) * (last - first).clamp(max=8)).long()
            intensity = intensity * self._march_dollase(structures, owner, at, march_r, chosen, textured)
        jitter = torch.where(
            _uniform(len(structures), g) < a.jitter_share, a.jitter * _uniform(len(structures), g), 0.0
        )
        intensity = intensity * torch.exp(jitter[owner] * _normal(len(at), g))
        inside = (sine > 0.035) & (sine < 0.72)
        owner, sine, intensity = owner[inside], sine[inside], intensity[inside]
        peaks = [_lines(owner, sine, intensity, widths)]
        second = widths.kalpha2[owner] > 0
        longer = sine[second] * (CU_KALPHA2_A / CU_KALPHA1_A)
        peaks.append(
            _lines(owner[second], sine[second], intensity[second] * widths.kalpha2[owner[second]], widths, longer)
        )
        return torch.cat(peaks, dim=1)

    def _march_dollase(
        self, structures: Tensor, owner: Tensor, at: Tensor, march_r: Tensor, chosen: Tensor, textured: Tensor
    ) -> Tensor:
        """Return the factor of each reflection for texture about the normal of the chosen reflection's plane."""
        sticks = self.sticks
        factor = torch.ones(len(at), device=at.device)
        which = textured[owner].nonzero().squeeze(1)
        if not len(which):
            return factor
        here = at[which]
        reflection, member = _ranges(sticks.member_first[here], sticks.member_first[here + 1])
        pattern = owner[which][reflection]
        metric = sticks.reciprocal_metric[structures]
        axis = sticks.member_hkl[sticks.member_first[chosen.clamp(max=len(sticks.q) - 1)]].float()
        along = torch.einsum("bij,bj->bi", metric, axis)
        axis_2 = (along * axis).sum(dim=1)
        hkl = sticks.member_hkl[member].float()
        projection = (hkl * along[pattern]).sum(dim=1)
        length_2 = torch.einsum("mi,mij,mj->m", hkl, metric[pattern], hkl)
        cosine_2 = (projection.square() / (axis_2[pattern] * length_2).clamp(min=1e-12)).clamp(max=1)
        r = march_r[pattern]
        weight = (r.square() * cosine_2 + (1 - cosine_2) / r) ** -1.5 * sticks.member_share[member]
        summed = torch.zeros(len(which), device=at.device).index_add_(0, reflection, weight)
        factor[which] = summed
        return factor

    def _add_second_phases(self, pattern: Tensor, widths: Widths, g: torch.Generator) -> None:
        a, n = self.artefacts, len(pattern)
        has = (_uniform(n, g) < a.second_phase_share).nonzero().squeeze(1)
        if not len(has):
            return
        others = (_uniform(len(has), g) * len(self.sticks)).long()
        scale = 1 + SECOND_PHASE_STRAIN * (2 * _uniform(len(has), g) - 1)
        second = draw_peaks(self._peaks(others, scale, widths.of(has), g, texture=False), len(has))
        height = second.amax(dim=1).clamp(min=1e-9)
        pattern[has] += second * (_log_uniform(len(has), a.second_phase, g) / height)[:, None]

    def _add_lines(self, pattern: Tensor, g: torch.Generator) -> None:
        n = len(pattern)
        grid = _grid(g.device)
        has = _uniform(n, g) < self.artefacts.lines_share
        for number in range(2):
            here = has if number == 0 else has & (_uniform(n, g) < 0.5)
            centre, width = 8 + 80 * _uniform(n, g), 0.1 + 0.1 * _uniform(n, g)
            height = 0.06 * _uniform(n, g) ** 2
            rows = here.nonzero().squeeze(1)
            off = (grid - centre[rows, None]) / width[rows, None]
            pattern[rows] += height[rows, None] / (1 + 4 * off.square())

    def _draw_steps(self, n: int, wavelength_A: Tensor | None, g: torch.Generator) -> Tensor:
        """Return the distances of measured points in steps of the grid, 1 or more."""
        steps = _log_uniform(n, self.artefacts.steps_deg, g) / STEP_DEG
        if wavelength_A is not None:
            steps = steps * (CU_KALPHA1_A / wavelength_A)  # at small angles
        return steps.round().clamp(min=1, max=N_ANGLES - 1).long()

    def _draw_range(self, n: int, wavelength_A: Tensor | None, g: torch.Generator) -> Tensor:
        share, first, last = self.artefacts.cut_share, self.artefacts.start_deg, self.artefacts.stop_deg
        low = torch.where(_uniform(n, g) < share, first[0] + (first[1] - first[0]) * _uniform(n, g), first[0])
        high = torch.where(_uniform(n, g) < share, last[0] + (last[1] - last[0]) * _uniform(n, g), last[1])
        if wavelength_A is not None:
            low, high = (_on_copper(end, wavelength_A) for end in (low, high))
        grid = _grid(g.device)
        return (grid >= low[:, None] - 1e-6) & (grid <= high[:, None] + 1e-6)

    def _draw_background(self, n: int, measured: Tensor, g: torch.Generator) -> Tensor:
        """Return a Chebyshev polynomial, scattering by air and an amorphous hump, relative to the maximum."""
        a = self.artefacts
        grid = _grid(g.device)
        x = ((grid - 47.5) / 42.5)[None, :]
        c1, c2, c3 = (s * _normal(n, g)[:, None] for s in (0.5, 0.3, 0.15))
        shape = 1 + c1 * x + c2 * (2 * x**2 - 1) + c3 * (4 * x**3 - 3 * x)
        air = torch.where(_uniform(n, g) < a.air_share, 6 * _uniform(n, g) ** 2, 0.0)
        start = TWO_THETA_MIN_DEG + STEP_DEG * measured.float().argmax(dim=1)
        shape = shape + air[:, None] * torch.exp(-(grid - start[:, None]) / 6).clamp(max=1)
        hump = torch.where(_uniform(n, g) < a.hump_share, 1.2 * _uniform(n, g), 0.0)
        centre, width = 15 + 20 * _uniform(n, g), 4 + 8 * _uniform(n, g)
        shape = shape + hump[:, None] * torch.exp(-((grid - centre[:, None]) / width[:, None]).square())
        return _log_uniform(n, a.background, g)[:, None] * shape.clamp(min=0.05)


def _lines(
    owner: Tensor, sine: Tensor, intensity: Tensor, widths: Widths, shifted_sine: Tensor | None = None
) -> Tensor:
    """Return pattern, angle, area, full width, Lorentzian share and asymmetry of each peak as rows, degrees.

    Widths are those of the first line, at whose angle the reflection's Lorentz factor is taken too. Sines are those of
    copper; at another wavelength widths and shifts are taken at its own angles and moved to those of copper.
    """
    to_copper, on_copper = None, sine if shifted_sine is None else shifted_sine
    if widths.wavelength_A is not None:
        to_copper = CU_KALPHA1_A / widths.wavelength_A[owner]
        seen = (sine / to_copper < LARGEST_SINE) & (on_copper / to_copper < LARGEST_SINE)
        owner, sine, intensity, on_copper, to_copper = (
            values[seen] for values in (owner, sine, intensity, on_copper, to_copper)
        )
        copper_cosine = torch.sqrt(1 - sine.square())
        sine = sine / to_copper
    cosine = torch.sqrt(1 - sine.square())
    tangent = sine / cosine
    cosine_2 = 1 - 2 * sine.square()
    area = intensity * (1 + cosine_2.square()) / (sine.square() * cosine)
    by_size = widths.size_x[owner] if to_copper is None else widths.size_x[owner] / to_copper
    lorentz = by_size / cosine + widths.strain_y[owner] * tangent
    gauss = torch.sqrt((widths.gauss_u[owner] * tangent.square() + widths.gauss_w[owner]).clamp(min=1e-5))
    # Thompson, Cox & Hastings, J. Appl. Cryst. 20 (1987) 79.
    fifth = gauss**5 + 2.69269 * gauss**4 * lorentz + 2.42843 * gauss**3 * lorentz**2
    fifth = fifth + 4.47163 * gauss**2 * lorentz**3 + 0.07842 * gauss * lorentz**4 + lorentz**5
    width = fifth**0.2
    ratio = lorentz / width
    eta = 1.36603 * ratio - 0.47719 * ratio**2 + 0.11116 * ratio**3
    angle = torch.rad2deg(2 * torch.arcsin(on_copper.clamp(max=0.9999)))
    zero, displaced = widths.zero[owner], widths.displacement[owner] * cosine
    if to_copper is not None:
        stretch = to_copper * cosine / copper_cosine  # d(2theta of copper) / d(2theta)
        width, area, zero, displaced = (values * stretch for values in (width, area, zero, displaced))
    angle = angle + zero + displaced
    sine_2 = 2 * sine * cosine
    skew = (widths.asymmetry[owner] * cosine_2.abs() / sine_2.clamp(min=0.05)).clamp(max=1)
    skew = torch.where(angle < 60, skew, 0.0)
    return torch.stack([owner.float(), angle, area, width, eta, skew])


def _check_range(name: str, value: tuple[float, ...]) -> None:
    """Raise unless a value is (minimum, maximum), positive except where it may be negative."""
    numbers = [v for v in value if isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v)]
    if len(value) != 2 or len(numbers) != 2 or not value[0] <= value[1]:
        raise TrainerError(f"artefacts.{name}: expected [minimum, maximum], found {list(value)}")
    if name != "displacement_A2" and not value[0] > 0:
        raise TrainerError(f"artefacts.{name}: expected more than 0, found {list(value)}")


def _on_copper(two_theta_deg: Tensor, wavelength_A: Tensor) -> Tensor:
    """Return the angles of the same q at Cu K-alpha 1; 180 degrees beyond its reach."""
    sine = torch.deg2rad(two_theta_deg / 2).sin() * (CU_KALPHA1_A / wavelength_A)
    return torch.rad2deg(2 * sine.clamp(max=1.0).asin())


def at_steps(pattern: Tensor, measured: Tensor, steps: Tensor) -> Tensor:
    """Keep every so-manieth point of each pattern (pattern,), counted from its first, and lines between them."""
    place = torch.arange(pattern.shape[1], device=pattern.device)
    first = measured.float().argmax(dim=1, keepdim=True)
    last = first + measured.sum(dim=1, keepdim=True) - 1
    step = steps[:, None]
    left = first + (place - first).div(step, rounding_mode="floor") * step
    left = torch.minimum(torch.maximum(left, first), last)
    right = torch.where(left + step <= last, left + step, left)
    part = ((place - left) / step).clamp(0, 1).to(pattern.dtype)
    found = pattern.gather(1, left) * (1 - part) + pattern.gather(1, right) * part
    return torch.where(measured, found, 0.0)


def draw_peaks(peaks: Tensor, n_patterns: int) -> Tensor:
    """Sum pseudo-Voigt peaks, wider on their left by the asymmetry, on the grid of angles."""
    angle = peaks[1]
    owner, angle, area, width, eta, skew = peaks[:, (angle > TWO_THETA_MIN_DEG - 1) & (angle < TWO_THETA_MAX_DEG + 1)]
    padded = N_ANGLES + 2 * PADDING
    device = peaks.device
    at_once = POINTS_IN_CACHE if device.type == "cpu" else POINTS_IN_MEMORY
    limits = torch.tensor(HALF_WIDTHS, dtype=peaks.dtype, device=device)
    out = torch.zeros(n_patterns * padded, device=device)
    nearest = torch.round((angle - TWO_THETA_MIN_DEG) / STEP_DEG)
    from_centre = nearest * STEP_DEG + TWO_THETA_MIN_DEG - angle
    start = owner.long() * padded + PADDING + nearest.long()
    # The Gaussian ends where it is a thousandth of its height, the Lorentzian far outside.
    lorentz, gauss = area * eta * 0.63662 / width, area * (1 - eta) * 0.939437 / width
    for height, reach, profile in (
        (lorentz, 6 * width * eta.clamp(min=0.1) + 1.6 * width, _lorentzian),
        (gauss, 1.6 * width, _gaussian),
    ):
        points = torch.ceil(reach * (1 + skew) / STEP_DEG).clamp(max=HALF_WIDTHS[-1])
        of_class = torch.bucketize(points, limits)
        # One sort and one list of sizes: a GPU waits once here, not for every class.
        sizes = torch.bincount(of_class, minlength=len(HALF_WIDTHS)).tolist()
        for half, members in zip(HALF_WIDTHS, torch.split(of_class.argsort(stable=True), sizes), strict=True):
            offsets = torch.arange(-half, half + 1, device=device)
            for part in torch.split(members, max(1, at_once // len(offsets))):
                distance = from_centre[part, None] + offsets * STEP_DEG
                sharper = 2 / width[part, None]
                scaled = distance * torch.where(distance < 0, sharper / (1 + skew[part, None]), sharper)
                value = profile(scaled.square_()) * height[part, None]
                # Points beyond the reach belong to the class of widths, not to the peak.
                value.mul_(scaled <= (reach[part, None] * sharper).square())
                out.index_add_(0, (start[part, None] + offsets).reshape(-1), value.reshape(-1))
    return out.view(n_patterns, padded)[:, PADDING : PADDING + N_ANGLES]


def _lorentzian(u: Tensor) -> Tensor:
    """Return 1 / (1 + u), u the squared distance in half widths."""
    return (u + 1).reciprocal_()


def _gaussian(u: Tensor) -> Tensor:
    """Return 2^-u, u the squared distance in half widths."""
    return torch.exp2(-u)


def _ranges(first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Return, for ranges first:last one after another, the number of the range and the index of each element."""
    counts = last - first
    total = int(counts.sum())
    owner = torch.repeat_interleave(torch.arange(len(first), device=first.device), counts, output_size=total)
    before = counts.cumsum(0) - counts
    return owner, torch.arange(total, device=first.device) - before[owner] + first[owner]


def _grid(device: torch.device) -> Tensor:
    return TWO_THETA_MIN_DEG + STEP_DEG * torch.arange(N_ANGLES, device=device)


def _uniform(n: int, generator: torch.Generator) -> Tensor:
    return torch.rand(n, generator=generator, device=generator.device)


def _normal(n: int, generator: torch.Generator) -> Tensor:
    return torch.randn(n, generator=generator, device=generator.device)


def _log_uniform(n: int, limits: tuple[float, float], generator: torch.Generator) -> Tensor:
    low, high = (math.log(v) for v in limits)
    return torch.exp(low + (high - low) * _uniform(n, generator))
