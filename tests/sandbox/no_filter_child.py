"""The hostile child on a kernel that has Landlock and no filter of system calls."""

from app.sandbox import confinement, seccomp, serve
from tests.sandbox.hostile_child import ORDERS, Order

if __name__ == "__main__":
    seccomp.install = lambda **_: False
    bound = confinement.bound
    # So that it is Landlock that refuses, and not the number of descriptors.
    confinement.bound = lambda what, limit: bound(what, max(limit, 64))
    serve(lambda order: ORDERS[order.what](order), Order)
