"""How long a request and its answer are on their way at least: what the system measured of the connection itself."""

from __future__ import annotations

import socket
import struct
import sys
from datetime import timedelta

import httpx

SURE = 0.9
"""The part of the shortest way seen that is relied on: two machines of one provider may be differently far away."""

_MIN_RTT = 148  # where Linux keeps it in `struct tcp_info`, in microseconds; it is all ones where there is none
_LONGEST = timedelta(seconds=10)


def shortest(response: httpx.Response) -> timedelta | None:
    """
    Return the shortest time in which anything came back over the connection of a response; None where nobody measured it.

    It is of packets and their acknowledgements, so no server's work is in it. Behind a proxy it is the way to the proxy.
    """
    stream = response.extensions.get("network_stream")
    found = stream.get_extra_info("socket") if stream is not None else None
    if sys.platform != "linux" or not isinstance(found, socket.socket):
        return None
    try:
        told = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _MIN_RTT + 4)
    except OSError:
        return None
    if len(told) < _MIN_RTT + 4:
        return None
    way = timedelta(microseconds=struct.unpack_from("=I", told, _MIN_RTT)[0])
    return way * SURE if way < _LONGEST else None
