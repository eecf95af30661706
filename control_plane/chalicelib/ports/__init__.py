"""What the services ask of the outside: one small Protocol per outside thing, with honest adapters behind it.

Rules every adapter keeps:
  1. A change of state is one conditional write: it happens wholly, or raises and changes nothing.
  2. A `Note` given with a change is kept in the same write: there is no change without its Record.
  3. "Now" is the store's clock, never the caller's.
"""
