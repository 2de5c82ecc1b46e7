"""The hostile child on a system that has neither Landlock nor a filter of system calls."""

from app.sandbox import landlock, seccomp, serve
from tests.sandbox.hostile_child import ORDERS, Order

if __name__ == "__main__":
    landlock.restrict = lambda readable=(): False  # noqa: ARG005
    seccomp.install = lambda **_: False
    serve(lambda order: ORDERS[order.what](order), Order)
