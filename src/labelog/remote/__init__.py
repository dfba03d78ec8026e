"""Volumes on a server, with the interface of those on disk; what is asked for travels by HTTP, see docs/http.md.

The extra `remote` brings the client, httpx.
"""
