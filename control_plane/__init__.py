"""The control plane: who may decide, what was decided, and the proof of it.

app.py            the Lambda entry, imported by Lambda alone
chalicelib/       ports (what is asked of the outside) · services (what is done) · routes (thin) · pages · adapters
embedded/         serves the same application on one machine
"""
