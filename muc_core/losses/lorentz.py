"""Hyperbolic space as the Lorentz model, and MERU's entailment cones (arXiv 2304.09172, sections 3 and 4).

With curvature -c, c > 0, a point is written by its space part `x` alone, `[d]`; its time part follows from it:

    x_time = sqrt(1/c + |x|^2)                          the point lies on the hyperboloid, <x, x>_L = -1/c
    <x, y>_L = x . y - x_time * y_time                  Lorentz inner product, at most -1/c
    d(x, y) = arccosh(-c <x, y>_L) / sqrt(c)            distance, >= 0

The root, `x = 0`, is the most general of all things; what lies in the cone of a point is one of what the point means.

Everything is computed in float32 or finer, also under autocast: `arccosh` near 1 and the differences of large products
in an inner product leave no digits to half precision. Where a clamp stands, a comment says what it keeps away.
"""

import math

import torch
from torch import Tensor

APERTURE = 0.1
"""K of MERU: cones have no meaning within 2 K / sqrt(c) of the root, where they would be wider than a half-space."""

MOST_STRETCH = 2.0**15
"""Largest sinh in `exp_map`: products of two such points stay exact enough, and no float32 overflows."""

SMALLEST = 1e-6
"""How near to the ends of their domains arccosh, arccos and arcsin are evaluated; their slopes are infinite there, and
float32 has steps of 1e-7 at 1. Distances below `sqrt(2e-6 / c)` are reported as that."""


def _exact(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def time_part(x: Tensor, c: Tensor) -> Tensor:
    """Time parts `[..., 1]` of points `[..., d]`, at least 1 / sqrt(c)."""
    return torch.sqrt(1 / c + x.square().sum(dim=-1, keepdim=True))


def exp_map(u: Tensor, c: Tensor) -> Tensor:
    """The exponential map at the root, `sinh(sqrt(c) |u|) / (sqrt(c) |u|) * u`: a point at the distance |u| from it.

    Args:
        u: tangent vectors at the root, `[..., d]`; zero gives the root.
        c: scalar, minus the curvature.

    Returns:
        Space parts `[..., d]`, float32 or finer. None is longer than `MOST_STRETCH / sqrt(c)`, which stands for all |u|
        above `arcsinh(MOST_STRETCH) / sqrt(c)`, 11.1 at c = 1.
    """
    with torch.autocast(u.device.type, enabled=False):
        u, c = _exact(u), _exact(c)
        length = torch.sqrt(c) * torch.linalg.vector_norm(u, dim=-1, keepdim=True)
        # from below: 0 / 0 at the root, where sinh(r) / r is 1; from above: sinh overflows
        length = length.clamp(min=SMALLEST)
        most = math.asinh(MOST_STRETCH)
        stretch: Tensor = torch.sinh(length.clamp(max=most)) / length
        return stretch * u


def pairwise_inner(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """Lorentz inner products of all points `[n, d]` with all points `[m, d]`: `[n, m]`, one matrix product."""
    with torch.autocast(x.device.type, enabled=False):
        x, y, c = _exact(x), _exact(y), _exact(c)
        return x @ y.T - time_part(x, c) @ time_part(y, c).T


def pairwise_distance(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """Distances of all points `[n, d]` from all points `[m, d]`: `[n, m]`, at least `sqrt(2 SMALLEST / c)`."""
    return _distance(pairwise_inner(x, y, c), _exact(c))


def half_aperture(x: Tensor, c: Tensor) -> Tensor:
    """`arcsin(2 K / (sqrt(c) |x|))`, `[n]`: half the angle of the cone of each point `[n, d]`, in (0, pi/2)."""
    with torch.autocast(x.device.type, enabled=False):
        x, c = _exact(x), _exact(c)
        length = torch.sqrt(c) * torch.linalg.vector_norm(x, dim=-1)
        # nearer to the root than 2 K the cone is a half-space, and at the root the quotient is infinite
        return torch.asin((2 * APERTURE / length.clamp(min=SMALLEST)).clamp(max=1 - SMALLEST))


def exterior_angle(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """Angle at x between the way from the root, continued, and the way to y, `[n]` in (0, pi); below `half_aperture(x)`
    y lies in the cone of x.

        theta(x, y) = arccos( (y_time + x_time c <x, y>_L) / (|x| sqrt((c <x, y>_L)^2 - 1)) )

    Args:
        x, y: points `[n, d]`, row by row.
    """
    with torch.autocast(x.device.type, enabled=False):
        x, y, c = _exact(x), _exact(y), _exact(c)
        x_time, y_time = time_part(x, c).squeeze(-1), time_part(y, c).squeeze(-1)
        inner = c * ((x * y).sum(dim=-1) - x_time * y_time)
        above = y_time + x_time * inner
        # at the root and where x = y no angle exists: 0 / 0, with infinite slopes
        length = torch.linalg.vector_norm(x, dim=-1).clamp(min=SMALLEST)
        below = length * torch.sqrt((inner.square() - 1).clamp(min=SMALLEST))
        return torch.acos((above / below).clamp(-1 + SMALLEST, 1 - SMALLEST))


def outside(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """How far each y lies outside the cone of its x, `theta(x, y) - psi(x)`, `[n]` in radians; below 0 it is inside."""
    return exterior_angle(x, y, c) - half_aperture(x, c)


def entailment(text: Tensor, image: Tensor, c: Tensor) -> Tensor:
    """`max(0, theta(text, image) - psi(text))`, `[n]`: 0 where a text's cone contains its image."""
    return outside(text, image, c).relu()


def _distance(inner: Tensor, c: Tensor) -> Tensor:
    # rounding can bring the product of a point with itself just below 1, where arccosh is not defined
    return torch.acosh((-c * inner).clamp(min=1 + SMALLEST)) / torch.sqrt(c)
