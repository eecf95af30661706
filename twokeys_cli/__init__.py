"""The `twokeys` command: what a person types.

```
twokeys ─┬─ up        control plane, Edge and a sample PostgreSQL on one machine (up, supervise, postgres, state)
         ├─ demo      plays the whole story unattended                            (demo)
         ├─ request   list, show, approve, deny                                   (request)
         ├─ policy, credential, login
         └─ audit     query, show, verify
```

Nouns: a **State folder** holds everything of one `twokeys up`; a **Child** is one process it runs.
"""
