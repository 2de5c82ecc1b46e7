"""`make bench`: what the service costs beside a bare pass-through and another gateway."""
