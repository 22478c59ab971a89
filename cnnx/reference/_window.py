"""Which windows cover a row, and which rows a window covers (M17 (8)-(12); equations.md C6)."""


def P_min(h, *, u, p_h, R, d_h=1):
    """First output row whose window reaches input row h: max(0, ceil((h + p_h - d_h (R-1)) / u)). C6: M17 (8)."""
    return max(0, -((d_h * (R - 1) - h - p_h) // u))


def P_max(h, *, u, p_h, P):
    """Last output row whose window reaches input row h: min(P-1, floor((h + p_h) / u)). C6: M17 (8)."""
    return min(P - 1, (h + p_h) // u)


def window(Z, p, q, *, R, S, u, v, p_h, p_w):
    """The members (h, w) of R[p,q] within the image, row-major. equations.md section 3."""
    H, W = Z.shape[2:]
    rows = range(max(0, u * p - p_h), min(H, u * p - p_h + R))
    columns = range(max(0, v * q - p_w), min(W, v * q - p_w + S))
    return [(h, w) for h in rows for w in columns]


def covering(Delta, h, w, *, R, S, u, v, p_h, p_w):
    """The outputs (p, q) whose window holds (h, w). C6: M17 (8), (9)."""
    P, Q = Delta.shape[2:]
    rows = range(P_min(h, u=u, p_h=p_h, R=R), P_max(h, u=u, p_h=p_h, P=P) + 1)
    columns = range(P_min(w, u=v, p_h=p_w, R=S), P_max(w, u=v, p_h=p_w, P=Q) + 1)
    return [(p, q) for p in rows for q in columns]
