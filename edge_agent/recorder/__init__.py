"""The recorder: nothing is forwarded that is not on record.

    header, body ──▶ journal.append ──▶ <segment>.journal.open   hash-chained lines, one write(2)
                          │             <segment>.bodies         encrypted bodies, framed (twokeys.segment_files)
                          │             <segment>.keys           wrapped data keys of the sessions in it
                          ▼ sync (worker thread, one fsync for all who wait)
                     Segment closed: .journal ──▶ uploader: keys, lines, bodies ──▶ seal, verified ──▶ kept a while

`header` checks and spells a line, `bodies` encrypts, `journal` appends, `sync` waits for the disk, `disk` watches the
room left, `segments` knows the files, `scan` verifies them at start, `uploader` hands them over.
"""
