"""Requests JSON from an API, with retries and within its rate limits. Depends on no provider, no walk and no SQL."""
