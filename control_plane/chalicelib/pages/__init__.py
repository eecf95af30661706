"""What people see: a view model in, a page out. Nothing here decides, or reads a store.

routes ──views──▶ render ──templates──▶ HTML          document: the held Command, every character visible
                  responses: the headers that every page carries
"""
