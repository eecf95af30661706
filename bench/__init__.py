"""The figures: each module measures one thing, compares within one run, and prints medians and ratios.

    python -m bench                 all of them
    python -m bench throughput      one of them

Machines differ and are noisy: read ratios. An absolute time says something of the machine it was measured on only.
"""
