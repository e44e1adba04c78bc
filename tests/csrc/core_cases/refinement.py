"""Of refinement.h."""

import numpy as np

from tests.csrc.core_cases.case import (
    INF,
    NAN,
    Case,
    Columns,
    every,
    of_magnitudes,
    positive,
    random,
)


def residuals_after(x, y, t, xx, xy, yy, xt, yt, du, dv) -> Columns:
    return t + x * du + y * dv, xt + xx * du + xy * dv, yt + xy * du + yy * dv


def data_equation(x, y, t, xx, xy, yy, xt, yt, left_t, left_xt, left_yt) -> Columns:
    zeta, epsilon = 0.1, 0.01
    norm = x**2 + y**2 + zeta**2
    c = 2.5 / np.sqrt(left_t**2 / norm + epsilon**2) / norm
    norm_x, norm_y = xx**2 + xy**2 + zeta**2, yy**2 + xy**2 + zeta**2
    g = 5 / np.sqrt(left_xt**2 / norm_x + left_yt**2 / norm_y + epsilon**2)
    return (
        c * x**2 + zeta**2 + g * (xx**2 / norm_x + xy**2 / norm_y),
        c * x * y + g * (xx * xy / norm_x + xy * yy / norm_y),
        c * y**2 + zeta**2 + g * (xy**2 / norm_x + yy**2 / norm_y),
        -c * t * x - g * (xx * xt / norm_x + xy * yt / norm_y),
        -c * t * y - g * (xy * xt / norm_x + yy * yt / norm_y),
    )


def smoothness(u_x, u_y, v_x, v_y) -> Columns:
    return (10 / np.sqrt(u_x**2 + u_y**2 + v_x**2 + v_y**2 + 1e-4),)


def pull(own, edge_left, edge_up, centre, left, right, up, down) -> Columns:
    edges = (edge_left, left), (own, right), (edge_up, up), (own, down)
    return (sum(weight * (value - centre) for weight, value in edges),)


def terms_of_pull(own, edge_left, edge_up, centre, left, right, up, down) -> Columns:
    edges = (edge_left, left), (own, right), (edge_up, up), (own, down)
    return (sum(weight * (abs(value) + abs(centre)) for weight, value in edges),)


def target(own, edge_left, edge_up, left, right, up, down, right_side) -> Columns:
    return (edge_left * left + own * right + edge_up * up + own * down + right_side,)


def relaxation_of(a11, a12, a22, b1, b2, own, left, up, num_own, u, *others) -> Columns:
    us, v, vs = others[:4], others[4], others[5:]
    total = num_own * own + left + up
    added_u, added_v = pull(own, left, up, u, *us), pull(own, left, up, v, *vs)
    return 1.8 / (a11 + total), a12, 1.8 / (a22 + total), b1 + added_u[0], b2 + added_v[0]


def terms_of_relaxation(a11, a12, a22, b1, b2, own, left, up, num_own, u, *others) -> Columns:
    results = relaxation_of(a11, a12, a22, b1, b2, own, left, up, num_own, u, *others)
    added_u = terms_of_pull(own, left, up, u, *others[:4])
    added_v = terms_of_pull(own, left, up, others[4], *others[5:])
    return *map(np.abs, results[:3]), np.abs(b1) + added_u[0], np.abs(b2) + added_v[0]


def relaxed(step_u, a12, step_v, b1, b2, own, left, up, *others) -> Columns:
    a11, a22 = 1.8 / step_u, 1.8 / step_v
    dus, dvs, (du, dv) = others[:4], others[4:8], others[8:]
    (sum_u,), (sum_v,) = target(own, left, up, *dus, b1), target(own, left, up, *dvs, b2)
    du = du + 1.8 * ((sum_u - a12 * dv) / a11 - du)
    return du, dv + 1.8 * ((sum_v - a12 * du) / a22 - dv)


def terms_of_relaxed(step_u, a12, step_v, b1, b2, own, left, up, *others) -> Columns:
    dus, dvs, (du, dv) = others[:4], others[4:8], others[8:]
    (sum_u,), (sum_v,) = target(own, left, up, *dus, b1), target(own, left, up, *dvs, b2)
    du = 0.8 * du + step_u * (sum_u + a12 * dv)
    return du, 0.8 * dv + step_v * (sum_v + a12 * du)


DERIVATIVES = (127.5, 127.5, 255, 64, 64, 64, 127.5, 127.5)
CASES = {
    "square_root": Case(
        np.concatenate([np.abs(random(1e9)), every([0, 1e-38, 1e-4, 4, 3e38, INF, NAN, -1])]),
        lambda value: (np.sqrt(value),),
        6e-8,
    ),
    "residuals_after": Case(
        random(*DERIVATIVES, 20, 20), residuals_after, 1e-6, of_magnitudes(residuals_after)
    ),
    "quotient": Case(
        positive(random(10, 1e6), [1]), lambda numerator, other: (numerator / other,), 2e-7
    ),
    "penalty": Case(
        positive(random(10, 1e6), [1]), lambda weight, square: (weight / np.sqrt(square),), 2e-7
    ),
    "data_equation": Case(
        np.concatenate(
            [
                random(*DERIVATIVES, 255, 127.5, 127.5),
                random(*[0.1] * 11),
                random(*[1e-3] * 8, 255, 127.5, 127.5),
                every(*[[0, 127.5]] * 8, [0, 255], [0], [0, 127.5]),
            ]
        ),
        data_equation,
        3e-6,
        lambda *columns: tuple(map(np.abs, data_equation(*map(np.abs, columns)))),
    ),
    "smoothness": Case(
        np.concatenate([random(5, 5, 5, 5), every(*[[0, -1e-3, 300]] * 4)]), smoothness, 5e-7
    ),
    "pull": Case(positive(random(1e3, 1e3, 1e3, *[9] * 5), [0, 1, 2]), pull, 1e-6, terms_of_pull),
    "relaxation_of": Case(
        np.concatenate(
            [
                np.insert(
                    positive(
                        random(1e5, 1e4, 1e5, 1e5, 1e5, 1e3, 1e3, 1e3, *[9] * 10), [0, 2, 5, 6, 7]
                    ),
                    8,
                    num_own,
                    axis=1,
                )
                for num_own in (0, 1, 2)
            ]
        ).astype(np.float32),
        relaxation_of,
        1e-6,
        terms_of_relaxation,
    ),
    "target": Case(
        positive(random(1e3, 1e3, 1e3, 9, 9, 9, 9, 1e4), [0, 1, 2]),
        target,
        1e-6,
        of_magnitudes(target),
    ),
    "relax": Case(
        positive(random(1e-3, 1e3, 1e-3, 1e4, 1e4, 1e3, 1e3, 1e3, *[9] * 10), [0, 2, 5, 6, 7]),
        relaxed,
        1e-6,
        of_magnitudes(terms_of_relaxed),
    ),
}
